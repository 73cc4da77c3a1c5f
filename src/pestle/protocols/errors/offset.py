"""The energy error of a foundation without the constant that new E0s alone would take away.

Labels of another level of theory, or E0s of single atoms that a foundation does not share, shift
all its energies by a constant for each element. A fine-tuned model learns that constant first and
for nothing; a comparison with the foundation as it stands praises it for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pestle.energies.reference_energies import minimum_norm
from pestle.foundations.prediction import FramePrediction
from pestle.metrics import frame_errors
from pestle.structures.frame import Frame, composition_matrix, elements_of


def offset_by_element(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[int, float]:
    """The constant by which labels exceed predictions, fitted as `reestimate` fits its shift.

    Args:
        frames: those to fit on: the training frames. Isolated atoms, frames without an energy and
            those whose prediction is not finite are left out.
        predictions: of each of them.

    Returns:
        Atomic number → eV, least squares of minimum norm over total energies (Eq. 6); empty where
        there is nothing to fit.
    """
    members, gaps = [], []
    for frame, prediction in zip(frames, predictions, strict=True):
        if frame.energy is None or frame.is_isolated_atom or not np.isfinite(prediction.energy):
            continue
        members.append(frame)
        gaps.append(frame.energy - prediction.energy)
    if not members:
        return {}
    elements = elements_of(members)
    shift = minimum_norm(composition_matrix(members, elements), np.array(gaps))
    return {z: float(value) for z, value in zip(elements, shift, strict=True)}


def energy_rmse_without(
    offset: Mapping[int, float], frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> float | None:
    """RMSE of the energies in meV/atom, isolated atoms left out, once the offset is added.

    Args:
        offset: atomic number → eV; elements that it lacks have none.
        frames, predictions: to judge.

    Returns:
        `None` where no frame has an energy.
    """
    pairs = [
        (f, replace(p, energy=p.energy + sum(offset.get(int(z), 0.0) for z in f.numbers)))
        for f, p in zip(frames, predictions, strict=True)
        if not f.is_isolated_atom
    ]
    return frame_errors([f for f, _ in pairs], [p for _, p in pairs]).energy_rmse
