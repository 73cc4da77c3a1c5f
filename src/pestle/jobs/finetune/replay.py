"""Broad structures of a run, for training the replay head and for monitoring drift."""

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
from pestle.foundations.replay_catalogue import GENERATED, is_file_pool
from pestle.labels.labelling import FoundationLabeller
from pestle.labels.resumable import label_resumably, partial_labels, stoppable
from pestle.progress import warn
from pestle.records.folder import RunFolder
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame, thinned
from pestle.structures.reading import expand_paths, read_frames
from pestle.structures.writing import write_frames
from pestle.training.budget import make_budget
from pestle.training.mixing import target_repeats

#: Largest number of held-out replay structures; more would not improve the estimate.
MAX_VALID = 100


@dataclass
class Replay:
    """The replay set of a run.

    Attributes:
        train, valid: labelled structures, the second held out.
        labels: where the labels come from, in words.
        notes: how the set was made, with counts.
        warnings: one line each.
        files: of the pool.
    """

    train: list[Frame]
    valid: list[Frame]
    labels: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Stored:
    """The broad structures, with labels, that a run wrote at its beginning.

    A resumed run uses exactly these, even if the pool, the machine or the generator has changed.
    """

    train: list[Frame]
    valid: list[Frame]
    drift: list[Frame]
    ewc: list[Frame]


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
    """Select the replay structures, and label them where the method wants pseudolabels.

    Args:
        settings: of the run.
        foundation: as loaded, in the network's precision; makes the pseudolabels.
        head: its head.
        frames: all frames of the data; their elements are matched.
        fingerprint: of the foundation as it was loaded.
        chosen: structures that were selected before.
        n_train: training frames, which say how many replay structures will be drawn.
        labels_file: keeps pseudolabels as they are made, and gives back those of a stopped run;
            `None` keeps none.

    Raises:
        PestleError: no pool, none of it fits, or it lacks labels.
        LabellingStopped: Ctrl-C or SIGTERM came while pseudolabels were made.
    """
    pseudo = method_of(settings).pseudolabels
    if chosen is None:
        chosen = select_replay(settings, foundation, head, frames, need_labels=not pseudo)
    replay, notes = chosen.frames, list(chosen.notes)
    unseen = never_seen(len(replay), settings, n_train)
    for line in unseen:
        warn(line)  # now, before an hour is spent on their labels
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
    """A warning if the run is too short to draw all of its replay structures.

    Args:
        n_replay: replay structures.
        settings: complete settings of the run.
        n_train: training frames.
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
        f"({drawn / n_replay:.0%}), the others are prepared for nothing: lower replay.count to "
        f"{drawn:,}, or give the run more updates"
    ]


def without_strong_forces(
    frames: Sequence[Frame], settings: ReplaySettings
) -> tuple[list[Frame], int]:
    """Select the frames whose forces are all below the bound.

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


def drift_structures(
    settings: RunSettings, foundation: Foundation, head: str, frames: Sequence[Frame]
) -> list[Frame]:
    """Return the structures on which drift is monitored; none if it is not requested.

    Structures of a file are used whatever their elements. Generated ones contain the data's
    elements.
    """
    pool = settings.drift.structures
    if not pool and settings.train.max_drift is None:
        return []
    pool = pool or [GENERATED]
    wanted = ReplaySettings(
        pool=pool,
        count=settings.drift.count,
        filter="element" if pool == [GENERATED] else "none",
    )
    return make_replay_set(
        wanted,
        data_elements=data_elements(frames),
        foundation=foundation,
        head=head,
        # These must differ from the structures that replay with the same generator would train on.
        seed=settings.train.seed + 1,
        elements_kept=settings.elements,
        max_edges=settings.train.eval_batch_edges,
    ).frames


def ewc_structures(
    settings: RunSettings,
    foundation: Foundation,
    head: str,
    frames: Sequence[Frame],
    replay: Replay | None,
) -> list[Frame]:
    """Return the structures for elastic weight consolidation; none if it is off.

    They are a part of the replay structures. Without replay they are generated from the data's
    elements.
    """
    if settings.keep.ewc is None:
        return []
    count, seed = settings.keep.ewc_structures, settings.train.seed
    if replay is not None:
        return thinned(replay.train, count, seed)
    return make_replay_set(
        ReplaySettings(pool=[GENERATED], count=count, filter="element"),
        data_elements=data_elements(frames),
        foundation=foundation,
        head=head,
        # This seed belongs to replay, which is not used here. Drift has other structures.
        seed=seed,
        elements_kept=settings.elements,
        max_edges=settings.train.eval_batch_edges,
    ).frames


def write_broad(
    folder: RunFolder, replay: Replay | None, drift: Sequence[Frame], ewc: Sequence[Frame]
) -> None:
    """Write replay structures with their training labels, and the structures of drift and EWC."""
    if replay is not None:
        write_frames(folder.path / "replay" / "train.xyz", replay.train)
        write_frames(folder.path / "replay" / "valid.xyz", replay.valid)
    if drift:
        write_frames(folder.path / "drift.xyz", drift)
    if ewc:
        write_frames(folder.path / "ewc.xyz", ewc)


def read_broad(folder: RunFolder) -> Stored:
    """Read the files of `write_broad`; a missing file gives an empty list."""

    def frames(path: Path) -> list[Frame]:
        return read_frames([str(path)]).frames if path.is_file() else []

    return Stored(
        frames(folder.path / "replay" / "train.xyz"),
        frames(folder.path / "replay" / "valid.xyz"),
        frames(folder.path / "drift.xyz"),
        frames(folder.path / "ewc.xyz"),
    )
