"""Labelling that can be stopped and continued: finished labels are kept beside the result."""

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
from pestle.wording import counted


class LabellingStopped(Interrupted):
    """The user or the queue stopped a labelling; finished labels are kept beside the result.

    Args:
        by: name of the signal, or "Ctrl-C".
        partial: the file with the labels; `None` if there is none.
    """

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
    """Return the file beside a run folder that keeps its pseudolabels until it contains them."""
    named = out if out.name not in ("", "..") else out.resolve()
    return named.with_name(f"{named.name}.labels.partial")


def partial_labels(path: Path | None, labeller: str) -> PartialLabels | None:
    """Open the file that keeps labels.

    Args:
        path: the file; `None` for no file.
        labeller: id of the labeller.

    Returns:
        The file; `None`, with a warning, if it cannot be written.
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
    """Label frames and write each batch to a file at once; must be called within `stoppable`.

    Args:
        labeller: makes the missing labels.
        frames: as in `label_with`.
        partial: the file of this labeller; labels in it are not made again. `None` for no file.
        title: title of the progress bar.

    Returns:
        The labelled frames, and the number of them whose labels come from `partial`.

    Raises:
        PestleError: as `label_with`, or the file cannot be written.
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
    """Run a block that labels; `partial` is closed at its end.

    Raises:
        LabellingStopped: Ctrl-C or SIGTERM was received.
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
    """Count the frames that a stopped run has labelled, and warn of labels that cannot be used."""
    if partial.note:
        warn(partial.note)
    here = [structure_id(frame) for frame in frames]
    other = len(partial.labels.keys() - set(here))
    if other:
        warn(f"{partial.path}: {other} of its structures are not among these; not used")
    resumed = sum(structure in partial.labels for structure in here)
    if resumed:
        wanted = counted(len(frames), "structure")
        say(f"going on from {partial.path}: {resumed} of {wanted} labelled")
    return resumed


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, which queues send before they kill a program, stop it like Ctrl-C."""
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
