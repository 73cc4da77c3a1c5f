"""Preparation of the foundation for a run: reference energies, target head, selected elements."""

from __future__ import annotations

from collections.abc import Sequence

from pestle.adaptation import method_of
from pestle.energies.kept import Learned, another_level, keep
from pestle.energies.methods import compare
from pestle.energies.problem import EnergyProblem
from pestle.energies.reference_energies import ReferenceEnergies
from pestle.energies.setting import from_setting
from pestle.errors import PestleError
from pestle.foundations.capabilities import ElementSelection, Heads, require
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
    learned: Learned | None = None,
    fresh: Splits | None = None,
) -> tuple[ReferenceEnergies, dict[str, ReferenceEnergies], bool]:
    """Return the E0s of a run, and the E0s of all methods for comparison.

    A model that was fine-tuned before keeps its E0s, unless the new labels are of another level of
    theory. From scratch there are no predictions to reestimate with; E0s are then `isolated` or
    else `average`.

    Args:
        settings: settings of the run.
        splits: frames.
        foundation: as loaded.
        head: head of the foundation.
        known: predictions of this head that exist already.
        learned: what is known of the labels of a foundation that was fine-tuned before.
        fresh: the new frames, where `splits` holds those of a continued run, too.

    Returns:
        The E0s, those of all methods, and whether the labels are taken to be of the level of theory
        that the foundation was fine-tuned at.

    Raises:
        PestleError: the data do not permit the E0s, or the frames of a continued run are of another
            level of theory than the new ones.
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
    if not from_scratch and learned is not None:
        new = fresh if fresh is not None else splits
        why = another_level(problem, learned, [*new.train, *new.isolated])
        if why and settings.parent.run is not None and setting == "auto":
            raise PestleError(
                f"the new frames and those of {learned.name} are of different levels of theory, "
                f"and one model cannot learn both: {why}",
                where="data.train",
                fix="Train on the new frames alone, --foundation in place of --continue; or give "
                "e0s yourself, if this is wrong.",
            )
        if setting == "auto" and not why and (problem.frames or problem.atoms):
            return keep(problem, learned), compared, True
        e0s = from_setting(problem, setting)
        if setting == "auto" and why:
            e0s.reason += f"; not kept from {learned.name}, because {why}"
        return e0s, compared, not why
    if not from_scratch:
        return from_setting(problem, setting), compared, False
    # Predictions of random weights have no meaning: E0s must not depend on them.
    problem.interaction = None
    return from_setting(problem, setting), compared, False


def make_start(
    settings: RunSettings,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
    e0s: ReferenceEnergies,
) -> tuple[Foundation, list[Stage]]:
    """Give the foundation the target head, the selected elements and the E0s.

    Args:
        settings: settings of the run.
        foundation: as loaded, in the network's precision.
        head: head of the foundation that is used.
        frames: all frames; their elements are kept if `elements` is `data`.
        e0s: E0s of the run, eV.

    Returns:
        The foundation, and the stages of its changes for the zero-step gate.
    """
    stages = [Stage("the foundation", foundation, head)]
    start = foundation
    if foundation.heads != (TARGET_HEAD,):
        start = require(
            start, Heads, where="head", instead=f"Give a model whose only head is {TARGET_HEAD}."
        ).with_heads({TARGET_HEAD: head})
        stages.append(Stage(f"taking head {head}", start, TARGET_HEAD))
    if settings.elements == "data":
        wanted = set(elements_of(frames))
        kept = [z for z in start.elements if z in wanted]
        start = require(start, ElementSelection).with_elements(kept)
        stages.append(Stage("cutting down the elements", start, TARGET_HEAD))
    shifted = {z: e for z, e in e0s.e0s.items() if z in set(start.elements)}
    start = start.with_reference_energies(TARGET_HEAD, shifted)
    stages.append(Stage("setting the reference energies", start, TARGET_HEAD))
    return start, stages
