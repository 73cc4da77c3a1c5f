"""The zero-step gate: before its first update an adapted model must predict like the foundation.

Forces must agree, and energies up to the change of the reference energies. If they do not, the
steps from the foundation to the adapted model are tested one by one, and the error names the first
step that changes the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, KnownPredictions, predict_frames
from pestle.records.training import Gate
from pestle.settings.training import TrainSettings
from pestle.structures.frame import Frame, thinned

#: dtype → tolerances in eV/atom, eV/Å and eV/Å³, and a fraction of the largest force that is added;
#: several times the rounding differences when the same model sums in another order.
TOLERANCES = {
    "float64": (1e-7, 1e-6, 1e-8, 1e-9),
    "float32": (1e-4, 1e-3, 1e-5, 1e-4),
}


@dataclass(frozen=True)
class Stage:
    """A step on the way from the foundation to the adapted model.

    Attributes:
        part: what the step did, in words for the user.
        model: the model after the step.
        head: the head of this model that predicts the target data.
    """

    part: str
    model: Foundation
    head: str


def _expected_shift(frame: Frame, start: Stage, end: Stage) -> float:
    """Return the energy difference in eV (float64) that the reference energies alone cause."""
    before = start.model.reference_energies[start.head]
    after = end.model.reference_energies[end.head]
    return float(sum(after[int(z)] - before[int(z)] for z in frame.numbers))


def _compare(
    frames: Sequence[Frame],
    reference: Sequence[FramePrediction],
    start: Stage,
    end: Stage,
    max_edges: int | None,
) -> Gate:
    predictions = predict_frames(end.model, frames, head=end.head, max_edges=max_edges)
    energy = forces = stress = 0.0
    for frame, old, new in zip(frames, reference, predictions, strict=True):
        shift = _expected_shift(frame, start, end)
        energy = _worst(energy, (new.energy - old.energy - shift) / len(frame))
        forces = _worst(forces, new.forces - old.forces)
        if old.stress is not None and new.stress is not None:
            stress = _worst(stress, new.stress - old.stress)
    return Gate(n_frames=len(frames), energy=energy, forces=forces, stress=stress)


def _worst(so_far: float, difference: float | np.ndarray) -> float:
    """Return the largest magnitude so far; a NaN counts as infinite."""
    size = float(np.max(np.abs(difference), initial=0.0))
    return max(so_far, float("inf") if np.isnan(size) else size)


def zero_step_gate(
    frames: Sequence[Frame],
    stages: Sequence[Stage],
    settings: TrainSettings,
    *,
    known: KnownPredictions | None = None,
) -> Gate:
    """Compare the adapted model with the foundation on training frames.

    Args:
        frames: training frames; a seeded selection of them is predicted.
        stages: the foundation first, the adapted model last.
        settings: dtype, number of frames to predict (`gate_frames`), seed, and edges in a batch.
        known: earlier predictions of the first stage.

    Returns:
        The largest differences in eV/atom, eV/Å and eV/Å³.

    Raises:
        PestleError: they exceed the tolerances; names the step that caused it and the difference.
    """
    chosen = thinned(frames, settings.gate_frames, settings.seed)
    max_edges = settings.eval_batch_edges
    start = stages[0]
    reference = predict_frames(
        start.model, chosen, head=start.head, max_edges=max_edges, known=known, finite=True
    )
    largest = max((float(np.abs(p.forces).max(initial=0.0)) for p in reference), default=0.0)
    energy_limit, force_limit, stress_limit, relative = TOLERANCES[settings.dtype]
    force_limit += relative * largest

    def passes(result: Gate) -> bool:
        return (
            result.energy <= energy_limit
            and result.forces <= force_limit
            and result.stress <= stress_limit + relative * largest
        )

    final = _compare(chosen, reference, start, stages[-1], max_edges)
    if passes(final):
        return final
    for stage in stages[1:]:
        result = _compare(chosen, reference, start, stage, max_edges)
        if not passes(result):
            kinds = [
                f"energies by {result.energy:.2e} eV/atom" * (result.energy > energy_limit),
                f"forces by {result.forces:.2e} eV/Å" * (result.forces > force_limit),
                f"stress by {result.stress:.2e} eV/Å³" * (result.stress > stress_limit),
            ]
            raise PestleError(
                f"the adapted model is not the foundation before its first update: {stage.part} "
                f"changed {', '.join(k for k in kinds if k)} (beyond the shift of the E0s)",
                where="zero-step gate",
                fix="This is a fault of the program or of the model file; please report it.",
            )
    raise AssertionError("the last stage failed and then passed")
