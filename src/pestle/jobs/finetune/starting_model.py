"""The foundation made ready for a run: reference energies, target head, elements to keep."""

from __future__ import annotations

from collections.abc import Sequence

from pestle.adaptation import method_of
from pestle.energies.reference_energies import EnergyProblem, ReferenceEnergies, compare
from pestle.energies.setting import from_setting
from pestle.errors import PestleError
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.foundations.prediction import KnownPredictions
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame, elements_of
from pestle.structures.splits import Splits
from pestle.training.gate import Stage


def reference_energies(
    settings: RunSettings,
    splits: Splits,
    foundation: Foundation,
    head: str,
    known: KnownPredictions,
) -> tuple[ReferenceEnergies, dict[str, ReferenceEnergies]]:
    """E0s for the run, and every other method's for comparison; `known` are predictions of the
    foundation's head so far.

    From scratch there is no prediction worth reestimating with: E0s are isolated, else average.
    """
    from_scratch = method_of(settings).from_scratch
    setting = settings.e0s
    if from_scratch and setting == "reestimate":
        raise PestleError(
            "reestimation needs a pretrained model; from scratch there is none",
            where="e0s",
            fix="Choose isolated, average or a table.",
        )
    problem = EnergyProblem.of(
        [*splits.train, *splits.isolated],
        foundation,
        head,
        max_edges=settings.train.eval_batch_edges,
        known=known,
    )
    compared = compare(problem)
    if not from_scratch:
        return from_setting(problem, setting), compared
    # Random weights predict nothing: neither choice nor figures may rest on the foundation's.
    problem.interaction = None
    e0s = from_setting(problem, setting)
    return e0s, compared


def make_start(
    settings: RunSettings,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
    e0s: ReferenceEnergies,
) -> tuple[Foundation, list[Stage]]:
    """The foundation with the target head, the elements to keep and the E0s; and its stages."""
    stages = [Stage("the foundation", foundation, head)]
    start = foundation
    if foundation.heads != (TARGET_HEAD,):
        start = start.with_heads({TARGET_HEAD: head})
        stages.append(Stage(f"taking head {head}", start, TARGET_HEAD))
    if settings.elements == "data":
        wanted = set(elements_of(frames))
        start = start.with_elements([z for z in start.elements if z in wanted])
        stages.append(Stage("cutting down the elements", start, TARGET_HEAD))
    shifted = {z: e for z, e in e0s.e0s.items() if z in set(start.elements)}
    start = start.with_reference_energies(TARGET_HEAD, shifted)
    stages.append(Stage("setting the reference energies", start, TARGET_HEAD))
    return start, stages
