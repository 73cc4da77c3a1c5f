"""The choice of the method for `auto`, from the scope, the data and the available replay
structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pestle.adaptation import AUTO, method_of
from pestle.adaptation.choice import Choice, Circumstances, PoolLabels, choose
from pestle.adaptation.replay import ReplaySet, compare_labels
from pestle.foundations.interface import Foundation
from pestle.jobs.finetune.replay import select_replay
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame, elements_of
from pestle.structures.splits import Splits


def with_method(
    settings: RunSettings, splits: Splits
) -> tuple[RunSettings, Circumstances | None, Choice | None]:
    """Replace the method `auto` in the settings.

    Args:
        settings: settings of the run; the method may be `auto`.
        splits: the frames.

    Returns:
        The settings with a method, the facts that the choice uses, and the choice with its reasons.
        The last two are `None` if the user named a method.

    Raises:
        PestleError: no scope was given.
    """
    if settings.method != AUTO:
        return settings, None, None
    case = Circumstances(
        scope=settings.scope,
        n_frames=len(splits.train),
        n_elements=len(elements_of(splits.train)),
        n_groups=len({f.config_type for f in splits.train}),
        pool=tuple(settings.replay.pool),
    )
    choice = choose(case)
    return _chosen(settings, choice), case, choice


def with_labels_at_hand(
    settings: RunSettings,
    case: Circumstances,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
) -> tuple[RunSettings, Choice, ReplaySet | None]:
    """Repeat the choice after the labels of the replay pools are known.

    Args:
        settings: settings with the method chosen so far.
        case: the facts that this choice uses.
        foundation: as loaded; its predictions are compared with the labels.
        head: head of the foundation.
        frames: all frames of the data.

    Returns:
        The settings, the choice, and the selected structures.

    Raises:
        PestleError: a pool cannot be read, or none of its structures is suitable.
    """
    if not case.pool or not method_of(settings).replays:
        return settings, choose(case), None
    chosen = select_replay(settings, foundation, head, frames, need_labels=False)
    labels = labels_of(chosen, foundation, head, settings)
    choice = choose(replace(case, labels=labels))
    return _chosen(settings, choice), choice, chosen


def _chosen(settings: RunSettings, choice: Choice) -> RunSettings:
    """The settings with the method, and with its rank unless the user named one."""
    changed: dict[str, object] = {"method": choice.method}
    if choice.rank is not None and "rank" not in settings.lora.model_fields_set:
        changed["lora"] = settings.lora.model_copy(update={"rank": choice.rank})
    return settings.model_copy(update=changed)


def labels_of(
    chosen: ReplaySet, foundation: Foundation, head: str, settings: RunSettings
) -> PoolLabels:
    """Summarise the labels of replay structures; the notes of the set contain the numbers.

    Args:
        chosen: the selected structures; a comparison of their labels is added to its notes.
        foundation: as loaded; its predictions are compared with the labels.
        head: head of the foundation.
        settings: settings of the run.
    """
    if any(frame.labelled_by is not None for frame in chosen.frames):
        return "pseudo"
    if any(frame.energy is None or frame.forces is None for frame in chosen.frames):
        return "none"
    before = len(chosen.warnings)
    compare_labels(chosen, foundation, head, settings.train.seed, settings.train.eval_batch_edges)
    if len(chosen.warnings) == before:
        return "fit"
    # The reasons of the choice report this already; the labels themselves are not used.
    del chosen.warnings[before:]
    return "misfit"
