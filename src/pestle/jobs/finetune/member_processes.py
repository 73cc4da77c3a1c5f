"""Members of a committee in processes of their own: start, watch and stop them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pestle.errors import Interrupted, PestleError
from pestle.jobs.finetune.member import STOPPED
from pestle.locks import InUse, locked_folder
from pestle.progress import LINE_AT_LATEST, console, progress, say, screen, warn
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.records.metrics import read_metrics
from pestle.settings.run import RunSettings
from pestle.wording import counted

#: Seconds between two checks whether members have ended, and between two updates of the progress.
_LOOK, _NOTE = 0.2, 5.0


#: Seconds that a member needs at most for its checkpoint after its command was killed.
_GRACE = 120.0


class MembersStopped(Interrupted):
    """The user or the queue stopped the command; every member has written its checkpoint.

    Args:
        by: name of the signal.
        folder: folder of the members.
    """

    def __init__(self, by: str, folder: str) -> None:
        super().__init__(by, folder)
        self.args = (f"stopped by {by}; the same command goes on in {folder}",)


@dataclass
class _Running:
    """A member that is training; `said` keeps its output."""

    folder: Path
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        """Return the last line of its output."""
        lines = self._lines()
        return lines[-1].removeprefix("error: ") if lines else "it said nothing"

    @property
    def stage(self) -> str:
        """The name of what it does before its first update."""
        names = [line for line in self._lines() if line.endswith(" …")]
        return names[-1].removesuffix(" …") if names else "preparing"

    def _lines(self) -> list[str]:
        # The member writes where this file stands: it must not be moved.
        file = self.said.fileno()
        text = os.pread(file, os.fstat(file).st_size, 0)
        return text.decode(errors="replace").strip().splitlines()


class _Lines:
    """Lines for a pipe: the first after seconds, later ones further and further apart."""

    def __init__(self) -> None:
        self._wait, self._last, self._warned = _NOTE, "", set[str]()

    def tell(self, note: str) -> None:
        """Print what the members do, unless a terminal shows it already."""
        if console.is_terminal or note == self._last or screen.silence < self._wait:
            return
        say(note)
        self._wait, self._last = min(1.5 * self._wait, LINE_AT_LATEST), note

    def warn_of(self, folder: Path) -> None:
        """Print the warnings of a member that no other has had."""
        with suppress(PestleError, OSError):
            for text in Manifest.of_run(RunFolder(folder).manifest).warnings:
                if text not in self._warned:
                    self._warned.add(text)
                    warn(text)


def train_members(
    waiting: Sequence[Path], settings: RunSettings, trust: bool, command: str, at_once: int
) -> dict[Path, str]:
    """Train members in processes of their own.

    Args:
        waiting: run folders of the members.
        settings: settings of all members.
        trust: allow a foundation that is a `.model` file.
        command: command line, for the manifests.
        at_once: how many run at the same time.

    Returns:
        Run folder → reason, for the members that failed.

    Raises:
        PestleError: a member found a mistake of the user, which the others share; they are stopped.
        MembersStopped: a signal stopped the command.
    """
    queue, running, failed = list(waiting), list[_Running](), {}
    last_note, lines = time.monotonic(), _Lines()
    plan = "one after the other" if at_once == 1 else f"{min(at_once, len(queue))} at a time"
    say(f"training {counted(len(queue), 'member')} in {waiting[0].parent}, {plan}")
    with _listening() as signals, progress("members", len(waiting)) as bar:
        try:
            while queue or running:
                if signals:
                    raise MembersStopped(signals[0], str(waiting[0].parent))
                while queue and len(running) < at_once:
                    running.append(_start(queue.pop(0), settings, trust, command))
                time.sleep(_LOOK)
                for member in [m for m in running if m.process.poll() is not None]:
                    running.remove(member)
                    lines.warn_of(member.folder)
                    why = _end_of(member)
                    if why:
                        failed[member.folder] = why
                if time.monotonic() - last_note > _NOTE:
                    last_note = time.monotonic()
                    for member in running:
                        lines.warn_of(member.folder)
                    note = "; ".join(map(_progress_of, running))
                    bar.to(len(waiting) - len(queue) - len(running), note)
                    lines.tell(note)
            bar.to(len(waiting))
        finally:
            _stop(running, signals)
    return failed


def _start(folder: Path, settings: RunSettings, trust: bool, command: str) -> _Running:
    """Start a member, or resume it."""
    begun = RunFolder(folder).settings.exists()
    _await_end(folder)
    seed = int(folder.name.rpartition("-")[2])
    settings = settings.model_copy(deep=True)
    settings.train.seed = seed
    asked = {
        "settings": settings.model_dump(mode="json", exclude_unset=True),
        "out": str(folder),
        "resume": begun,
        "trust": trust,
        "command": command,
    }
    said = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
    threads = str(settings.train.threads)
    process = subprocess.Popen(
        [sys.executable, "-m", "pestle.jobs.finetune.member"],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        start_new_session=True,  # Ctrl-C reaches only this command, which stops its members
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    say(f"{folder.name}: {'goes on' if begun else 'begins'}")
    return _Running(folder, process, said)


def _await_end(folder: Path) -> None:
    """Wait for the end of a member whose command was killed."""
    until = time.monotonic() + _GRACE
    while folder.is_dir():
        try:
            with locked_folder(folder):
                return
        except InUse:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK)


def _end_of(member: _Running) -> str:
    """Return the reason why a member failed; empty if it finished.

    Raises:
        PestleError: it found a mistake of the user, which the other members share.
    """
    code = member.process.returncode
    if code == 0:
        ending = Manifest.of_run(RunFolder(member.folder).manifest).ending
        title = f"{ending.headline}; " if ending and ending.headline else ""
        learned = ending.learned if ending else "it was not judged"
        say(f"{member.folder.name}: finished; {title}{learned}")
        return ""
    why = member.last_words()
    if code == PestleError.exit_code:
        raise PestleError(why)
    if code in (STOPPED, -signal.SIGTERM):
        why = "it was stopped; the same command goes on"
    say(f"{member.folder.name}: failed; {why}")
    return why


def _progress_of(member: _Running) -> str:
    """Return the name of a member with the number of its updates."""
    with suppress(PestleError, OSError):
        lines = read_metrics(RunFolder(member.folder).metrics)
        if lines:
            plan = Manifest.of_run(RunFolder(member.folder).manifest).plan
            most = f" of at most {plan.steps:,}" if plan is not None else ""
            return f"{member.folder.name}: {lines[-1].step:,}{most} updates"
    return f"{member.folder.name}: {member.stage}"


def _stop(running: Sequence[_Running], signals: Sequence[str]) -> None:
    """Let members write their checkpoints and end; a second signal ends them immediately."""
    if not running:
        return
    say(f"stopping {counted(len(running), 'member')}")
    before = len(signals)
    for member in running:
        member.process.send_signal(signal.SIGTERM)
    while any(member.process.poll() is None for member in running):
        if len(signals) > before:
            for member in running:
                member.process.kill()
        time.sleep(_LOOK)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Yield a list to which the name of every stop signal is added.

    Only the main thread receives signals; the list stays empty in others.
    """
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, _: Any) -> None:
        came.append(signal.Signals(number).name)

    previous = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
