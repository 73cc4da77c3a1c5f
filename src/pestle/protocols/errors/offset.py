"""The energy error of a foundation after a constant for each element is removed.

Labels of another level of theory, or E0s that differ from the foundation's, shift all energies by a
constant for each element. A fine-tuned model learns these constants first and easily. A comparison
with the unchanged foundation would count this as an improvement of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pestle.energies.methods import minimum_norm
from pestle.foundations.prediction import FramePrediction
from pestle.metrics import frame_errors
from pestle.structures.frame import Frame, composition_matrix, elements_of


def offset_by_element(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[int, float]:
    """Fit one constant per element to the differences between labels and predictions.

    The fit is the same as the one that `reestimate` uses.

    Args:
        frames: the training frames. Isolated atoms, frames without an energy and frames whose
            prediction is not finite are left out.
        predictions: one for each frame.

    Returns:
        Atomic number → constant, eV: least squares of minimum norm over total energies (Eq. 6).
        Empty if there is nothing to fit.
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
    """Return the RMSE of the energies after the offset is added; isolated atoms are left out.

    Errors of isolated atoms come from the E0s. The energies of whole structures do not depend on
    single E0s if the sums of E0s are right.

    Args:
        offset: atomic number → eV; elements that are missing have no offset.
        frames: frames with labels.
        predictions: one for each frame.

    Returns:
        The RMSE, meV/atom; `None` if no frame has an energy.
    """
    pairs = [
        (f, replace(p, energy=p.energy + sum(offset.get(int(z), 0.0) for z in f.numbers)))
        for f, p in zip(frames, predictions, strict=True)
        if not f.is_isolated_atom
    ]
    return frame_errors([f for f, _ in pairs], [p for _, p in pairs]).energy_rmse
