"""Output while Pestle works: lines of text, and one line of progress with the remaining time.

Everything goes to standard error, so that a table or JSON on standard output stays clean. Lines
have a level of `logging`: details (DEBUG), what is usually shown (INFO), warnings, and the end of a
run (ENDING, above warnings). The level of the logger `pestle` decides which of them are shown:
`logging.getLogger("pestle").setLevel("WARNING")` is `--quiet`, and "DEBUG" is `--verbose`. The log
file of a run gets every line, whatever is shown.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Shown
from rich.text import Text

console = Console(stderr=True, highlight=False)

#: Level of the lines that end a run.
ENDING = logging.WARNING + 5
#: Without a terminal, a stage gets a line only if it takes longer than this (s).
WORTH_A_LINE = 1.5
#: Least time between two lines of progress without a terminal (s); the second number is for work
#: that is a part of other work, which has already printed its name.
LINES_APART, PARTS_APART = 4.0, 15.0
#: Largest time between two lines of progress (s).
LINE_AT_LATEST = 600.0
#: Seconds between lines of progress in the log of a command that shows a bar on a terminal.
RECORDS_APART = 60.0


class _Screen(logging.Handler):
    """Prints lines above the line of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def emit(self, record: logging.LogRecord) -> None:
        self._printed = time.monotonic()
        console.print(record.getMessage(), markup=False, soft_wrap=True)

    def begin(self) -> None:
        """Start to measure the silence; called when a command begins."""
        self._printed = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._printed


logging.addLevelName(ENDING, "ENDING")
logger = logging.getLogger("pestle")
screen = _Screen()
logger.addHandler(screen)
logger.propagate = False
if logger.level == logging.NOTSET:
    logger.setLevel(logging.INFO)


class Recorder:
    """Receives every line of a piece of work; lines are kept until the log file is open."""

    def __init__(self) -> None:
        self._kept: list[logging.LogRecord] = []
        self._file: logging.Handler | None = None

    def take(self, record: logging.LogRecord) -> None:
        """Write a line, or keep it."""
        if self._file is None:
            self._kept.append(record)
        else:
            self._file.handle(record)

    def write_to(self, file: logging.Handler) -> None:
        """Write the kept lines, and from now on every line at once.

        Args:
            file: handler of the log file; it is closed at the end of `recording`.
        """
        self._file = file
        while self._kept:
            file.handle(self._kept.pop(0))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


#: Whether only progress and warnings are shown, as other work prints the lines for this one.
_brief: ContextVar[bool] = ContextVar("brief", default=False)
#: Number of nested pieces of work at present.
_depth: ContextVar[int] = ContextVar("depth", default=0)
#: Recorders of this thread.
_recorders: ContextVar[tuple[Recorder, ...]] = ContextVar("recorders", default=())


@contextmanager
def recording() -> Iterator[Recorder]:
    """Send the lines of a block to a log file, once it is open."""
    recorder = Recorder()
    token = _recorders.set((*_recorders.get(), recorder))
    try:
        yield recorder
    finally:
        _recorders.reset(token)
        recorder.close()


@contextmanager
def briefly() -> Iterator[None]:
    """Show only warnings and progress of a block; its other lines go to the log."""
    token = _brief.set(True)
    try:
        yield
    finally:
        _brief.reset(token)


def record(level: int, text: str) -> None:
    """Write a line to the log files only.

    Args:
        level: level of `logging`.
        text: the line.
    """
    for recorder in _recorders.get():
        recorder.take(logging.LogRecord("pestle", level, "", 0, text, None, None))


def _tell(level: int, text: str) -> None:
    record(level, text)
    logger.log(level, "%s", text)


def say(text: str = "") -> None:
    """Print a line for the user."""
    _tell(logging.DEBUG if _brief.get() else logging.INFO, text)


def show(text: str) -> None:
    """Print a line that replaces details; the details are in the log and shown with `--verbose`."""
    if not (_brief.get() or logger.isEnabledFor(logging.DEBUG)):
        logger.info("%s", text)


def detail(text: str = "") -> None:
    """Write a line to the log; it is shown with `--verbose`."""
    _tell(logging.DEBUG, text)


def warn(text: str) -> None:
    """Print a warning; it is shown with `--quiet`, too."""
    _tell(logging.WARNING, f"warning: {text}")


def conclude(text: str) -> None:
    """Print a line of the end of a run; it is shown with `--quiet`, too."""
    _tell(logging.DEBUG if _brief.get() else ENDING, text)


class Task:
    """One piece of work.

    Args:
        title: name of the work.
        total: number of steps; `None` if it is not known.
        done: number of steps that are done already.
        lines: largest number of lines of progress without a terminal.
        part: whether it is a part of other work, which has already printed its name.
        at_once: whether its name is printed at once, because nothing can be while it lasts.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        done: int = 0,
        lines: int = 4,
        part: bool = False,
        at_once: bool = False,
    ) -> None:
        self.title, self.total, self.done, self.note = title, total, done, ""
        self._first, self._lines, self._part, self._at_once = done, lines, part, at_once
        self._apart = PARTS_APART if part else LINES_APART
        self._started = self._recorded = time.monotonic()
        self._due = False
        self._timer: threading.Timer | None = None
        self._over = threading.Event()

    def to(self, done: int, note: str = "") -> None:
        """Show the progress.

        Args:
            done: number of steps that are done.
            note: text at the end of the line.
        """
        before, self.done, self.note = self.done, done, note
        _line.update(self)
        total = self.total or 1
        self._due |= done * self._lines // total > before * self._lines // total
        if done >= total:
            return
        if console.is_terminal and time.monotonic() - self._recorded >= RECORDS_APART:
            self._recorded = time.monotonic()
            record(logging.INFO, self._text())
        if (self._due and screen.silence >= self._apart) or screen.silence >= LINE_AT_LATEST:
            self._due = False
            if not console.is_terminal:
                logger.info("%s", self._text())

    def begin(self) -> None:
        """Print the name: at once to log and terminal, otherwise only if the work takes longer."""
        record(logging.DEBUG, self.title)
        if console.is_terminal and logger.isEnabledFor(logging.INFO):
            _line.add(self)
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", self.title)
        elif self._at_once:
            logger.info("%s", self._text())
        elif logger.isEnabledFor(logging.INFO):
            self._say_name()

    def end(self) -> None:
        """End the work."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()
        _line.remove(self)

    def _say_name(self) -> None:
        age = time.monotonic() - self._started
        if self._over.is_set() or screen.silence < age:  # a line of its own was enough
            return
        wait = self._apart - screen.silence
        if not self._part:
            wait = min(wait, WORTH_A_LINE - age)
        if wait > 0:
            self._timer = threading.Timer(wait, self._say_name)
            self._timer.daemon = True
            self._timer.start()
            return
        with suppress(BrokenPipeError):  # the work itself will meet it
            logger.info("%s", self._text())

    def _text(self) -> str:
        if self.total is None or self.done <= self._first:
            return f"{self.title} …"
        finished, left = self.done - self._first, self.total - self.done
        seconds = (time.monotonic() - self._started) / finished * left
        text = f"{self.title}: {self.done:,} of {self.total:,}, {duration(seconds)} left"
        return f"{text}  {self.note}" if self.note else text


class _WithLength(ProgressColumn):
    """A column that is shown only for work of known length, or only for work of unknown length."""

    def __init__(self, column: ProgressColumn, *, known: bool = True) -> None:
        self._column, self._known = column, known
        super().__init__()

    def render(self, task: Shown) -> object:  # type: ignore[override]  # rich: anything that prints
        return self._column(task) if (task.total is not None) is self._known else Text()


class _Line:
    """The line of progress at the bottom of a terminal; of nested work it shows the innermost."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[Task, TaskID] = {}
        self._lock = threading.RLock()

    def add(self, task: Task) -> None:
        with self._lock:
            if self._bar is None:
                self._bar = Progress(
                    SpinnerColumn(),
                    TextColumn("{task.description}", markup=False),
                    _WithLength(BarColumn(bar_width=24)),
                    _WithLength(TextColumn("{task.completed:,.0f}/{task.total:,.0f}")),
                    _WithLength(TimeRemainingColumn(compact=True)),
                    _WithLength(TimeElapsedColumn(), known=False),
                    TextColumn("{task.fields[note]}", markup=False),
                    console=console,
                    transient=True,
                    refresh_per_second=5,
                    # Steps may take minutes: the pace of the last half minute would be none.
                    speed_estimate_period=600.0,
                    # A table on standard output must not be taken for a line of standard error.
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._bar.start()
            for shown in self._tasks.values():
                self._bar.update(shown, visible=False)
            self._tasks[task] = self._bar.add_task(
                task.title, total=task.total, completed=task.done, note=""
            )
            self._bar.refresh()

    def update(self, task: Task) -> None:
        with self._lock:
            if self._bar is not None and task in self._tasks:
                self._bar.update(self._tasks[task], completed=task.done, note=task.note)

    def remove(self, task: Task) -> None:
        with self._lock:
            if self._bar is None or task not in self._tasks:
                return
            self._bar.remove_task(self._tasks.pop(task))
            if self._tasks:
                self._bar.update([*self._tasks.values()][-1], visible=True)
            else:
                self._bar.stop()
                self._bar = None


_line = _Line()


@contextmanager
def progress(
    title: str, total: int | None, done: int = 0, *, lines: int = 4, at_once: bool = False
) -> Iterator[Task]:
    """Show the progress of a block of work.

    Args:
        title: name of the work.
        total: number of steps; `None` if it is not known.
        done: number of steps that are done already.
        lines: largest number of lines of progress without a terminal.
        at_once: whether its name is printed at once, because nothing can be while it lasts.

    Yields:
        The work; its method `to` shows the progress.
    """
    depth = _depth.get()
    task = Task(title, total, done, lines, part=depth > 0, at_once=at_once)
    token = _depth.set(depth + 1)
    task.begin()
    try:
        yield task
    finally:
        _depth.reset(token)
        task.end()


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Show that a block of unknown length is at work; for blocks of more than two seconds."""
    with progress(title, None):
        yield


@contextmanager
def loading_torch() -> Iterator[None]:
    """The imports of a command that needs PyTorch: seconds in which no other thread can speak."""
    with progress("loading PyTorch", None, at_once="torch" not in sys.modules):
        yield


def duration(seconds: float) -> str:
    """Format a time, such as `1m 35s` for 95.

    Args:
        seconds: the time (s).
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
