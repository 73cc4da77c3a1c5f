"""`pestle finetune --seeds N`: the members of a committee, runs that differ by their seed alone.

They lie side by side in the folder, `seed-0`, `seed-1`, …, each an ordinary run folder that can be
resumed alone. The same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pestle.errors import Interrupted, PestleError
from pestle.foundations.devices import find_device
from pestle.jobs.finetune.continuing import with_parent
from pestle.jobs.finetune.data_settings import with_absolute_paths
from pestle.jobs.finetune.job import finetune
from pestle.jobs.finetune.member import STOPPED
from pestle.jobs.finetune.seeds_result import Members, summary_of
from pestle.locks import InUse, locked_folder
from pestle.progress import progress, say
from pestle.records.folder import RunFolder, require_folder
from pestle.records.manifest import Manifest
from pestle.records.metrics import read_metrics
from pestle.settings.run import RunSettings, walk
from pestle.settings.run_file import build, from_names, read_own_run_file
from pestle.wording import counted

#: Seconds between two looks at the members, and between two at how far they are.
_LOOK, _NOTE = 0.2, 5.0
#: Seconds in which a member whose command was killed writes its checkpoint and ends.
_GRACE = 120.0
#: What the members of one folder may differ in.
_FREE = ("train.seed", "train.threads", "train.device")


class MembersStopped(Interrupted):
    """The user or the queue stopped the command; every member has written its checkpoint."""

    def __init__(self, by: str, folder: str) -> None:
        super().__init__(by, folder)
        self.args = (f"stopped by {by}; the same command goes on in {folder}",)


@dataclass
class _Running:
    """A member at work; what it says on standard error is kept."""

    folder: Path
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        """The last line that it said."""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else "it said nothing"


def finetune_seeds(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    seeds: int,
    trust: bool = False,
    dry_run: bool = False,
    command: str = "",
    show: Callable[[Manifest], None] | None = None,
) -> Members:
    """Fine-tune the members of a committee, which differ by `train.seed` alone.

    >>> settings = {"foundation": "medium-mpa-0", "data.train": ["frames.xyz"]}
    >>> members = pestle.finetune_seeds(settings, out="runs/mine", seeds=3)
    >>> atoms.calc = members.load().calculator()

    As many run at once as there are free cores, on one thread each where `train.threads` is not
    given; on a GPU one after the other. Members that are finished are left as they are.

    Args:
        settings: as for `finetune`; `train.seed` is the first seed.
        out: folder of the members' run folders, `seed-0` and so on.
        seeds: how many.
        trust: allow a foundation that is a `.model` file.
        dry_run: only plan the first member.
        command: command line, for the manifests.
        show: called with the manifest of a dry run.

    Returns:
        The folders, and the errors as mean and spread.

    Raises:
        PestleError: a mistake in settings or data, or members of other settings lie in the folder.
        MembersStopped: the command was stopped; it goes on when it is typed again.
    """
    if not isinstance(settings, RunSettings):
        settings = from_names(settings)
    settings = with_absolute_paths(with_parent(settings))
    if seeds < 1:
        raise PestleError("at least one seed is needed", where="--seeds")
    if settings.train.threads is None:
        settings.train.threads = 1
    place = Path(out)
    first = settings.train.seed
    folders = [place / f"seed-{seed}" for seed in range(first, first + seeds)]
    if dry_run:
        finetune(settings, folders[0], trust=trust, dry_run=True, command=command, show=show)
        return Members(())
    require_folder(place)
    if RunFolder(place).settings.exists():
        raise PestleError(
            "holds a run, not members of several seeds",
            where=str(place),
            fix="Choose another folder with -o.",
        )
    with locked_folder(place):
        waiting = []
        for folder in folders:
            if _is_finished(folder, settings):
                say(f"{folder.name}: finished before")
            else:
                waiting.append(folder)
        failed = _train(waiting, settings, trust, command, _at_once(settings)) if waiting else {}
    return summary_of([f for f in folders if f not in failed], failed)


def _at_once(settings: RunSettings) -> int:
    """How many members run side by side: as many as free cores allow, on a GPU one."""
    if find_device(settings.train.device).type != "cpu":
        return 1
    there = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    free = len(there) - round(os.getloadavg()[0])
    return max(1, free // (settings.train.threads or 1))


def _is_finished(folder: Path, settings: RunSettings) -> bool:
    """Whether a member has finished; one that was begun must be of these settings.

    Raises:
        PestleError: it is of others.
    """
    run = RunFolder(folder)
    if not run.settings.exists():
        return False
    begun: RunSettings = build(read_own_run_file(run.settings), {}, where=str(run.settings))
    for name, _ in walk():
        asked, was = _value(settings, name), _value(begun, name)
        # What is left open was chosen when the member began.
        if name in _FREE or asked in (None, "auto", [], was):
            continue
        *groups, leaf = name.split(".")
        holder = getattr(settings, groups[0]) if groups else settings
        if leaf in holder.model_fields_set:
            raise PestleError(
                f"was begun with {name}={was}, and now it is {asked}",
                where=str(folder),
                fix="Type the command as before, or choose another folder with -o.",
            )
    return run.manifest.exists() and Manifest.of_run(run.manifest).status == "finished"


def _value(settings: RunSettings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _train(
    waiting: Sequence[Path], settings: RunSettings, trust: bool, command: str, at_once: int
) -> dict[Path, str]:
    """Run the members; returns those that failed, with the reason.

    Raises:
        PestleError: one was refused, as all will be; the others are stopped.
        MembersStopped: a signal came.
    """
    queue, running, failed = list(waiting), list[_Running](), {}
    last_note = time.monotonic()
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
                    why = _end_of(member)
                    if why:
                        failed[member.folder] = why
                if time.monotonic() - last_note > _NOTE:
                    last_note = time.monotonic()
                    bar.to(len(waiting) - len(queue) - len(running), "; ".join(map(_far, running)))
            bar.to(len(waiting))
        finally:
            _stop(running, signals)
    return failed


def _start(folder: Path, settings: RunSettings, trust: bool, command: str) -> _Running:
    """Begin a member, or go on with it."""
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
        start_new_session=True,  # a Ctrl-C reaches this command alone, which hands it on
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    say(f"{folder.name}: {'goes on' if begun else 'begins'}")
    return _Running(folder, process, said)


def _await_end(folder: Path) -> None:
    """Wait for a member that outlived the command that began it."""
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
    """Why a member failed; empty where it finished.

    Raises:
        PestleError: it was refused: a user's mistake, which the others share.
    """
    code = member.process.returncode
    if code == 0:
        ending = Manifest.of_run(RunFolder(member.folder).manifest).ending
        say(f"{member.folder.name}: finished; {ending.learned if ending else 'it was not judged'}")
        return ""
    why = member.last_words()
    if code == PestleError.exit_code:
        raise PestleError(why)
    if code in (STOPPED, -signal.SIGTERM):
        why = "it was stopped; the same command goes on"
    say(f"{member.folder.name}: failed; {why}")
    return why


def _far(member: _Running) -> str:
    """How far a member is."""
    with suppress(PestleError, OSError):
        lines = read_metrics(RunFolder(member.folder).metrics)
        if lines:
            return f"{member.folder.name} {counted(lines[-1].step, 'update')}"
    return f"{member.folder.name} preparing"


def _stop(running: Sequence[_Running], signals: Sequence[str]) -> None:
    """Have members write their checkpoints and end; at a second signal they end at once."""
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
    """Names of the signals to stop that came in the block; only the main thread hears any."""
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
