"""What a user sees while work goes on: a bar with the time left, or plain lines in a log.

Everything goes to standard error, so that a table or JSON on standard output stays clean.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)

#: Seconds between two lines of progress where there is no terminal.
LINE_EVERY = 15.0


class Task:
    """One piece of work with a known length."""

    def __init__(self, title: str, total: int, bar: Progress | None, done: int = 0) -> None:
        self.title, self.total, self.done = title, total, done
        self._bar = bar
        self._id: TaskID | None = (
            bar.add_task(title, total=total, completed=done, note="") if bar else None
        )
        self._first = done
        self._started = self._last_line = time.monotonic()

    def to(self, done: int, note: str = "") -> None:
        """Say how far the work is."""
        self.done = done
        if self._bar is not None and self._id is not None:
            self._bar.update(self._id, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_EVERY and done < self.total:
            self._last_line = now
            say(f"{self.title}: {done}/{self.total}{_left(self, now)}{'  ' + note if note else ''}")


def _left(task: Task, now: float) -> str:
    finished = task.done - task._first
    if finished <= 0:
        return ""
    seconds = (now - task._started) / finished * (task.total - task.done)
    return f", {duration(seconds)} left"


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Task]:
    """Show the progress of a block."""
    if not console.is_terminal:
        yield Task(title, total, None, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=False) as bar:
        yield Task(title, total, bar, done)


def say(text: str = "") -> None:
    """A line for the user, and for the run's log file if one is open."""
    console.print(text, markup=False, soft_wrap=True)
    logging.getLogger("pestle").info(text)


def duration(seconds: float) -> str:
    """`95` → "1m 35s"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
