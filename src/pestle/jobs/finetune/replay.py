"""The replay set of a run: selection, labels, and held-out structures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pestle.adaptation import method_of
from pestle.adaptation.replay import ReplaySet, data_elements, make_replay_set
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.replay_catalogue import is_file_pool
from pestle.labels.labelling import FoundationLabeller
from pestle.labels.resumable import label_resumably, partial_labels, stoppable
from pestle.progress import warn
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import expand_paths
from pestle.training.budget import make_budget
from pestle.training.mixing import target_repeats
from pestle.wording import percent

#: Largest number of held-out replay structures; more would not improve the estimate.
MAX_VALID = 100


@dataclass
class Replay:
    """The replay set of a run.

    Attributes:
        train: labelled structures for training.
        valid: labelled structures that are held out.
        labels: origin of the labels, in words.
        notes: how the set was made, with counts.
        warnings: warnings, one line each.
        files: files of the pools.
    """

    train: list[Frame]
    valid: list[Frame]
    labels: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def select_replay(
    settings: RunSettings,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
    *,
    need_labels: bool,
) -> ReplaySet:
    """Read the pools and select replay structures.

    Args:
        settings: settings of the run.
        foundation: as loaded, in the network's precision.
        head: head of the foundation.
        frames: all frames of the data; their elements are matched.
        need_labels: whether the structures must have labels.

    Returns:
        The selected structures, and how the set was made.

    Raises:
        PestleError: there is no pool, none of its structures is suitable, or labels are missing.
    """
    return make_replay_set(
        settings.replay,
        data_elements=data_elements(frames),
        foundation=foundation,
        head=head,
        seed=settings.train.seed,
        scope=settings.scope,
        elements_kept=settings.elements,
        need_labels=need_labels,
        max_edges=settings.train.eval_batch_edges,
    )


def prepare_replay(
    settings: RunSettings,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
    fingerprint: str,
    chosen: ReplaySet | None = None,
    *,
    n_train: int,
    labels_file: Path | None = None,
) -> Replay:
    """Select the replay structures, and make pseudolabels if the method uses them.

    Args:
        settings: settings of the run.
        foundation: as loaded, in the network's precision; it makes the pseudolabels.
        head: head of the foundation.
        frames: all frames of the data; their elements are matched.
        fingerprint: hash of the foundation as loaded.
        chosen: structures that were selected before; `None` to select them here.
        n_train: number of training frames; it determines how many replay structures a run draws.
        labels_file: file that stores pseudolabels while they are made and that keeps those of a
            stopped run; `None` stores none.

    Raises:
        PestleError: there is no pool, none of its structures is suitable, or labels are missing.
        LabellingStopped: Ctrl-C or SIGTERM stopped the command while it made pseudolabels.
    """
    pseudo = method_of(settings).pseudolabels
    if chosen is None:
        chosen = select_replay(settings, foundation, head, frames, need_labels=not pseudo)
    replay, notes = chosen.frames, list(chosen.notes)
    unseen = never_seen(len(replay), settings, n_train)
    for line in unseen:
        warn(line)  # before the labels are made, which can take an hour
    labels = "the pool's own"
    if pseudo:
        labeller = FoundationLabeller(
            foundation, head, fingerprint=fingerprint, max_edges=settings.train.eval_batch_edges
        )
        partial = partial_labels(labels_file, labeller.id)
        with stoppable(partial):
            done, resumed = label_resumably(
                labeller, replay, partial, "labelling replay structures"
            )
        labels = f"pseudolabels by {foundation.provenance.name}, head {head} ({done.labelled_by})"
        notes.append(
            f"{done.made} labelled now, {done.reused - resumed} had these labels already"
            + (f", {resumed} labelled before a stop or in a dry run" if resumed else "")
            + (f", other labels of {done.replaced} left out" if done.replaced else "")
        )
        replay, strong = without_strong_forces(done.frames, settings.replay)
        if strong:
            notes.append(
                f"{strong} left out for a force above {settings.replay.max_force:g} eV/Å, where "
                "the foundation itself extrapolates"
            )
    train, valid = split_replay(replay, settings.replay, settings.train.seed)
    warnings = [*chosen.warnings, *unseen]
    files = expand_paths([name for name in settings.replay.pool if is_file_pool(name)])
    return Replay(train, valid, labels, notes, warnings, files)


def never_seen(n_replay: int, settings: RunSettings, n_train: int) -> list[str]:
    """Return a warning if the run is too short to draw all of its replay structures.

    Args:
        n_replay: number of replay structures.
        settings: complete settings of the run.
        n_train: number of training frames.
    """
    train, replay = settings.train, settings.replay
    if replay.ratio == "size":
        frames = n_train * target_repeats(n_train, n_replay) + n_replay
        per_pass = math.ceil(frames / train.batch_size)
        updates = make_budget(train, per_pass).updates
        drawn = n_replay * updates // per_pass
    elif train.epochs is not None and train.epoch_covers == "all":
        return []  # an epoch passes over all of them
    else:
        updates = make_budget(train, math.ceil(n_train / train.batch_size)).updates
        graphs = max(1, round(replay.ratio * min(train.batch_size, n_train)))
        drawn = graphs * math.ceil(updates / replay.every)
    if drawn >= n_replay:
        return []
    return [
        f"{updates:,} updates draw at most {drawn:,} of {n_replay:,} replay structures "
        f"({percent(drawn / n_replay)}); the others are never used: lower replay.count to "
        f"{drawn:,}, or give the run more updates"
    ]


def without_strong_forces(
    frames: Sequence[Frame], settings: ReplaySettings
) -> tuple[list[Frame], int]:
    """Select the frames in which no force is above `replay.max_force` (eV/Å).

    Args:
        frames: labelled replay structures.
        settings: settings of replay.

    Returns:
        These frames, and the number of the others.
    """
    kept = [
        f
        for f in frames
        if f.forces is None
        or np.linalg.norm(f.forces, axis=1).max(initial=0.0) <= settings.max_force
    ]
    return kept, len(frames) - len(kept)


def split_replay(
    frames: Sequence[Frame], settings: ReplaySettings, seed: int
) -> tuple[list[Frame], list[Frame]]:
    """Divide structures at random into training and held-out structures, each in their order.

    Args:
        frames: replay structures.
        settings: gives the held-out fraction.
        seed: seed of the split.

    Raises:
        PestleError: there are fewer than two structures.
    """
    if len(frames) < 2:
        raise PestleError(
            f"{len(frames)} replay structures are left: one is needed for training and one to hold "
            "out",
            where="replay",
            fix="Give a larger pool (replay.pool), a wider filter (replay.filter) or a larger "
            "replay.max_force.",
        )
    count = min(MAX_VALID, max(1, round(settings.valid_fraction * len(frames))), len(frames) - 1)
    held = set(np.random.default_rng(seed).permutation(len(frames))[:count].tolist())
    return (
        [f for k, f in enumerate(frames) if k not in held],
        [f for k, f in enumerate(frames) if k in held],
    )
