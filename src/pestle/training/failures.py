"""Errors of a run that cannot continue, with the frames responsible and the settings to change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from pestle.errors import PestleError
from pestle.foundations.devices import fits_memory
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.training.mixing import Draw
from pestle.training.objective import TrainingData
from pestle.wording import listed


class TrainingFailed(PestleError):
    """Training gave numbers that are not finite, or ran out of memory.

    The best model so far is kept; it may be the starting model.
    """

    exit_code = 1


def not_finite(
    what: str, update: int, draw: Draw, data: TrainingData, is_finite: Callable[[Draw], bool]
) -> TrainingFailed:
    """Create the error for a loss or gradient that is not finite, with the frames that cause it.

    Args:
        what: "the loss" or "the gradient".
        update: number of the update, from 1.
        draw: the graphs of the update.
        data: frames and graphs of the run.
        is_finite: tells whether a draw gives a finite loss and gradient.

    Returns:
        The error. It names all frames of the update if none of them fails alone.
    """
    sources = [(draw.target, data.train_frames, data.train_graphs)]
    if data.replay is not None:
        sources.append((draw.replay, data.replay.train_frames, data.replay.train_graphs))
    members = [
        (frames[k], graphs[k])
        for drawn, frames, graphs in sources
        if drawn is not None
        for k in drawn.frame.tolist()
    ]
    guilty = [frame for frame, graph in members if not is_finite(Draw(graph))]
    names = in_files(guilty or [frame for frame, _ in members])
    whole = "" if guilty else " (no frame alone does it: the weights themselves went astray)"
    return TrainingFailed(
        f"{what} is not finite at update {update}, with {names}{whole}",
        where="training",
        fix="Look at those frames, or lower train.lr.",
    )


def in_files(frames: Sequence[Frame]) -> str:
    """Return where frames are: `data/train.xyz frames 3 and 7`; files as the user would type them.

    Args:
        frames: the frames.
    """
    numbers: dict[str, list[str]] = {}
    for frame in frames:
        numbers.setdefault(frame.source, []).append(str(frame.index))
    here = Path.cwd()
    return "; ".join(
        f"{_typed(Path(source), here)} {'frame' if len(found) == 1 else 'frames'} {listed(found)}"
        for source, found in numbers.items()
    )


def _typed(path: Path, here: Path) -> str:
    """Return a path inside the working folder relative to it."""
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def fits_update(
    device: torch.device, draw: Draw, settings: RunSettings, doing: str
) -> AbstractContextManager[None]:
    """Return a context that turns lack of memory in an update into an error with settings to lower.

    Args:
        device: the device.
        draw: the graphs of the update.
        settings: settings of the run.
        doing: what is being done, e.g. "in a trial update".
    """
    train = settings.train
    bound = "no bound" if train.max_edges is None else f"{train.max_edges:,}"
    lower = [f"train.max_edges (now {bound})", f"train.batch_size (now {train.batch_size})"]
    if draw.replay is not None:
        lower.append(f"replay.ratio (now {settings.replay.ratio})")
    return fits_memory(
        device,
        *(graphs for graphs in (draw.target, draw.replay) if graphs is not None),
        doing=doing,
        where="training",
        fix=f"Start a new run with a lower {', '.join(lower[:-1])} or {lower[-1]}.",
    )
