"""Broad structures on which a run watches drift or that EWC uses, and the files of all broad
structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pestle.adaptation.replay import data_elements, make_replay_set
from pestle.foundations.interface import Foundation
from pestle.foundations.replay_catalogue import GENERATED
from pestle.jobs.finetune.replay import Replay
from pestle.records.folder import RunFolder
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame, thinned
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames


@dataclass(frozen=True)
class Stored:
    """The broad structures, with labels, that a run wrote at its beginning.

    A resumed run uses exactly these, even if the pool, the machine or the generator has changed.

    Attributes:
        train, valid: training and held-out structures of the replay set.
        drift: structures on which drift is monitored.
        ewc: structures for elastic weight consolidation.
    """

    train: list[Frame]
    valid: list[Frame]
    drift: list[Frame]
    ewc: list[Frame]


def drift_structures(
    settings: RunSettings, foundation: Foundation, head: str, frames: Sequence[Frame]
) -> list[Frame]:
    """Return the structures on which drift is monitored; none if it is not requested.

    Structures from files may have any elements; generated ones have the elements of the data.

    Args:
        settings: settings of the run.
        foundation: as loaded; it must know all elements.
        head: head of the foundation.
        frames: all frames of the data.

    Raises:
        PestleError: a pool cannot be read, or none of its structures is suitable.
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

    Args:
        settings: settings of the run.
        foundation: as loaded.
        head: head of the foundation.
        frames: all frames of the data.
        replay: the replay set; `None` for methods without one.
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
    """Write the replay structures with their labels, and the structures for drift and EWC.

    Args:
        folder: folder of the run.
        replay: the replay set; `None` for methods without one.
        drift: structures on which drift is monitored.
        ewc: structures for elastic weight consolidation.
    """
    if replay is not None:
        write_frames(folder.path / "replay" / "train.xyz", replay.train)
        write_frames(folder.path / "replay" / "valid.xyz", replay.valid)
    if drift:
        write_frames(folder.path / "drift.xyz", drift)
    if ewc:
        write_frames(folder.path / "ewc.xyz", ewc)


def read_broad(folder: RunFolder) -> Stored:
    """Read the files of `write_broad`; a missing file gives an empty list.

    Args:
        folder: folder of the run.
    """

    def frames(path: Path) -> list[Frame]:
        return read_frames([str(path)]).frames if path.is_file() else []

    return Stored(
        frames(folder.path / "replay" / "train.xyz"),
        frames(folder.path / "replay" / "valid.xyz"),
        frames(folder.path / "drift.xyz"),
        frames(folder.path / "ewc.xyz"),
    )
