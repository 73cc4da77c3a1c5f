"""Labelling that a stop does not undo: what was made is kept in a file beside the result."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pestle.errors import Interrupted
from pestle.labels.labelling import Labelled, Labeller, label_with
from pestle.labels.partial import PartialLabels
from pestle.labels.signatures import structure_id
from pestle.progress import progress, say, warn
from pestle.structures.frame import Frame


class LabellingStopped(Interrupted):
    """The user or the queue stopped a labelling; what was made is kept beside the result."""

    def __init__(self, by: str, partial: PartialLabels | None) -> None:
        self.by, self.folder = by, str(partial.path.parent) if partial else ""
        if partial is None:
            outcome = "; no labels were kept"
        elif partial.begun:
            outcome = f"; the same command goes on from {partial.path}"
        else:
            outcome = " before the first batch"
        Exception.__init__(self, f"stopped by {by}{outcome}")


def labels_of_run(out: Path) -> Path:
    """The file beside a run folder that keeps its pseudolabels until the folder holds them."""
    named = out if out.name not in ("", "..") else out.resolve()
    return named.with_name(f"{named.name}.labels.partial")


def partial_labels(path: Path | None, labeller: str) -> PartialLabels | None:
    """The file that keeps labels; `None`, and a warning, where no file can be written.

    Args:
        path: of the file; `None` for none.
        labeller: id of the labeller.
    """
    if path is None:
        return None
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if folder.is_dir() and os.access(folder, os.W_OK):
        return PartialLabels(path, labeller)
    warn(f"{path} cannot be written, so a stop would lose the labels")
    return None


def label_resumably(
    labeller: Labeller, frames: Sequence[Frame], partial: PartialLabels | None, title: str
) -> tuple[Labelled, int]:
    """Label frames, each batch going to a file at once; to be called within `stoppable`.

    Args:
        labeller: makes the labels that are not there yet.
        frames: as in `label_with`.
        partial: of this labeller; what it holds is not made again. `None` keeps nothing.
        title: of the progress that is shown.

    Returns:
        The labelled frames, and how many of them have their labels from `partial`.

    Raises:
        PestleError: as `label_with` does, or the file cannot be written.
    """
    resumed = 0 if partial is None else _resumable(partial, frames)
    with progress(title, len(frames), done=resumed) as bar:
        labelled = label_with(
            labeller,
            frames,
            known=None if partial is None else partial.labels,
            on_batch=None if partial is None else partial.append,
            on_progress=bar.to,
        )
    return labelled, resumed


@contextmanager
def stoppable(partial: PartialLabels | None) -> Iterator[None]:
    """A block that labels; `partial` is closed at its end.

    Raises:
        LabellingStopped: Ctrl-C or SIGTERM came.
    """
    try:
        with _sigterm_interrupts():
            yield
    except KeyboardInterrupt as stop:
        raise LabellingStopped(str(stop) or "Ctrl-C", partial) from None
    finally:
        if partial is not None:
            partial.close()


def _resumable(partial: PartialLabels, frames: Sequence[Frame]) -> int:
    """Frames whose labels a stopped run has made; says what of its file is of no use."""
    if partial.note:
        warn(partial.note)
    here = [structure_id(frame) for frame in frames]
    other = len(partial.labels.keys() - set(here))
    if other:
        warn(f"{partial.path}: {other} of its structures are not among these; not used")
    resumed = sum(structure in partial.labels for structure in here)
    if resumed:
        say(f"going on from {partial.path}: {resumed} of {len(frames)} structures are labelled")
    return resumed


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM, which queues send before they kill, stops like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
