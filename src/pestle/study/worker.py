"""One cell, where it is calculated: commands of Pestle, each a process of its own.

A worker may be a thread of `pestle study` or a process on another machine. It is handed plain data,
and leaves a run folder and a record. Nothing heavy is imported.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.files import Damaged, read_json, write_text
from pestle.locks import FOLDER_LOCK, is_held, locked_file
from pestle.records.study import CellRecord, CellStatus, CellStep, FileStamp
from pestle.study import bound
from pestle.study.changed import stamp_of
from pestle.study.sharing import (
    end_baseline,
    hand_baseline,
    hand_labels,
    keep_baseline,
    labels_of,
    labels_out,
    may_test,
)

#: What came of a cell whose tests are left to a later call.
TRAINED = "trained"
#: Exit code of a command that was interrupted.
INTERRUPTED = 130
#: How often a command is begun that ends by a signal nobody here has sent, or well without doing
#: anything.
ATTEMPTS = 2
#: Lines of a failed command that are kept.
LAST_LINES = 5
#: Seconds between two looks whether a run folder is free.
_PAUSE = 1.0
#: Commands that this process runs.
_running: dict[int, subprocess.Popen[bytes]] = {}
#: Set once nothing more shall begin here.
_stopping = threading.Event()


@dataclass(frozen=True)
class Places:
    """Where a cell of a study keeps what."""

    study: Path
    name: str

    @property
    def run(self) -> Path:
        return self.study / "runs" / self.name

    @property
    def record(self) -> Path:
        return self.study / "cells" / f"{self.name}.json"

    @property
    def run_file(self) -> Path:
        return self.study / "cells" / f"{self.name}.yaml"

    @property
    def log(self) -> Path:
        return self.study / "cells" / f"{self.name}.log"


def stop() -> None:
    """End the commands that this process runs as Ctrl-C would, and begin no other."""
    _stopping.set()
    for process in list(_running.values()):
        process.send_signal(signal.SIGINT)


def begin_anew() -> None:
    """Undo `stop`, for another study in the same process."""
    _stopping.clear()


def do_steps(
    study: str,
    cell: Mapping[str, Any],
    options: Mapping[str, Any],
    before: str = "",
    _after: Any = None,
    *,
    patient: bool = False,
) -> str:
    """Do what is left of a cell, one step after the other, up to one that fails.

    Args:
        study: folder of the study.
        cell: `name`, `axes`, `run_file` (its text), `labels` and `baseline` (keys), and `steps`,
            each `name`, `key` and `arguments`; the first one is the training.
        options: `retry`, `trust`, `environment` (variables of the commands).
        before: what came of it a moment ago: nothing is done after a failure, or after its end.
        patient: whether to wait for another cell that calculates what the tests of both ask of the
            foundation. Else the tests are left to a later call, and the worker is free.

    Returns:
        finished, failed, interrupted, or trained where tests were left to a later call.
    """
    if before not in ("", TRAINED):
        return before
    places = Places(Path(study), cell["name"])
    training, *tests = cell["steps"]
    with locked_file(places.record, waiting="calculates this cell"):
        record = _record(places, cell)
        status, record = _in_turn(places, cell, [training], record, options)
        todo = [one for one in tests if not record.is_finished(one["name"], one["key"])]
        if status != "finished" or not todo:
            return status
        with may_test(places.study, cell["baseline"], wait=patient) as allowed:
            if not allowed:
                return TRAINED
            status, _ = _in_turn(places, cell, todo, record, options)
            if status in ("finished", "failed"):
                end_baseline(places.study, cell["baseline"])
            return status


def _in_turn(
    places: Places,
    cell: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    record: CellRecord,
    options: Mapping[str, Any],
) -> tuple[str, CellRecord]:
    """Do steps that are not done yet up to one that does not finish; returns how that one ended,
    and the record."""
    for step in steps:
        name, key = step["name"], step["key"]
        if record.is_finished(name, key) and places.run.is_dir():
            continue
        known = record.steps.get(name)
        failed = known is not None and known.status == "failed" and known.key == key
        if failed and not options["retry"]:
            return "failed", record
        for _ in range(ATTEMPTS):
            record = _do(places, cell, step, record, options)
            # A command that the system killed, for memory perhaps, goes on once; one that did
            # nothing is begun once more.
            ended = record.steps[name]
            again = ended.status == "interrupted" or (ended.status, ended.code) == ("failed", 0)
            if not again or _stopping.is_set():
                break
        if record.steps[name].status != "finished":
            return record.steps[name].status, record
    return "finished", record


def make_labels(study: str, cell: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Make the pseudolabels that a group of cells needs, by a dry run of one of them.

    Args:
        study, cell, options: as in `do_steps`.

    Returns:
        finished, failed or interrupted; what is lacking then every cell makes itself.
    """
    out = labels_out(Path(study), cell["labels"])
    done = out.with_name(f"{out.name}.done")
    if done.exists() and labels_of(out).is_file():
        return "finished"
    run_file, log = out.with_name(f"{out.name}.yaml"), out.with_name(f"{out.name}.log")
    with locked_file(done, waiting="makes these labels"):
        if done.exists() and labels_of(out).is_file():
            return "finished"
        write_text(run_file, cell["run_file"])
        command = ["finetune", str(run_file), "-o", str(out), "--dry-run"]
        code = _call(command, log, options)
        if code == 0:
            write_text(done, "")
        return _status(code)


def _record(places: Places, cell: Mapping[str, Any]) -> CellRecord:
    """What is known of a cell; a lost or damaged record is begun anew."""
    try:
        found = CellRecord.read(places.record)
    except Damaged:
        found = CellRecord(name=cell["name"])
    return found.model_copy(update={"axes": dict(cell["axes"])})


def _do(
    places: Places,
    cell: Mapping[str, Any],
    step: Mapping[str, Any],
    record: CellRecord,
    options: Mapping[str, Any],
) -> CellRecord:
    """One step: its command, and the record before and after it."""
    name, key = step["name"], step["key"]
    before = record.steps.get(name)
    spent = before.seconds if before is not None and before.key == key else 0.0
    _wait_for(places.run)
    if _stopping.is_set():
        found = CellStep(key=key, status="interrupted", seconds=spent)
        return record.with_step(name, found)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    record = record.with_step(
        name,
        CellStep(key=key, status="running", seconds=spent),
        host=socket.gethostname(),
        begun=begun,
    )
    record.write(places.record)
    started, before_it = time.monotonic(), _result(places, name)
    code = (
        _finetune(places, cell, options)
        if name == "finetune"
        else _test(places, cell, step, options)
    )
    status, last_lines = _status(code), tuple[str, ...]()
    if status == "finished" and not _has_worked(places, name, before_it):
        status, last_lines = "failed", _idle_lines(places, name)
    elif status == "failed":
        last_lines = tuple(_last_lines(places.log))
    ended = CellStep(
        key=key,
        status=status,
        code=code,
        seconds=round(spent + time.monotonic() - started, 2),
        last_lines=last_lines,
        run_file=stamp_of(places.run) if name == "finetune" and status == "finished" else None,
    )
    record = record.with_step(name, ended)
    record.write(places.record)
    return record


def _finetune(places: Places, cell: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """The run itself: from its beginning, or on from its checkpoint."""
    if _manifest_status(places.run) == "finished":
        return 0
    if (places.run / "run.yaml").exists():
        return _call(["finetune", "--resume", "-o", str(places.run)], places.log, options)
    hand_labels(places.study, cell["labels"], places.run)
    write_text(places.run_file, cell["run_file"])
    command = ["finetune", str(places.run_file), "-o", str(places.run)]
    return _call(command, places.log, options)


def _test(
    places: Places, cell: Mapping[str, Any], step: Mapping[str, Any], options: Mapping[str, Any]
) -> int:
    """A test of the run's model; what it asks of the foundation is taken from other cells."""
    hand_baseline(places.study, cell["baseline"], places.run)
    code = _call([*step["name"].split(), str(places.run), *step["arguments"]], places.log, options)
    keep_baseline(places.study, cell["baseline"], places.run)
    return code


def _call(arguments: Sequence[str], log: Path, options: Mapping[str, Any]) -> int:
    """A command of Pestle; what it says goes to a log. Returns its exit code."""
    trust = ["--trust"] if options["trust"] else []
    command = [sys.executable, "-P", bound.__file__, str(os.getpid()), *arguments, *trust]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"$ pestle {' '.join([*arguments, *trust])}\n".encode())
        stream.flush()
        # In a session of its own: Ctrl-C in a terminal reaches it once, by `stop`.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **options["environment"]},
            start_new_session=True,
        )
        _running[process.pid] = process
        try:
            if _stopping.is_set():
                process.send_signal(signal.SIGINT)
            return process.wait()
        finally:
            _running.pop(process.pid, None)


def _status(code: int) -> CellStatus:
    """What an exit code says: a signal interrupts, everything else fails. Python that is stopped
    while it starts ends with the code of a failure."""
    if code == 0:
        return "finished"
    if _stopping.is_set():
        return "interrupted"
    return "interrupted" if code == INTERRUPTED or code < 0 else "failed"


def _result(places: Places, step: str) -> FileStamp | None:
    """What a step leaves when it has worked, as it is now; every test writes it anew."""
    protocol = step.removeprefix("probe ")
    names = {"finetune": "manifest.json", "qualify": "verdict.json"}
    try:
        found = (places.run / names.get(step, f"protocols/{protocol}/metrics.json")).stat()
    except OSError:
        return None
    return FileStamp(size=found.st_size, changed=found.st_mtime_ns)


def _has_worked(places: Places, step: str, before: FileStamp | None) -> bool:
    """Whether a command that ended well has done something: where the environment of a worker is
    wrong, a wrapper of its Python may swallow the error."""
    if step == "finetune":
        return _manifest_status(places.run) == "finished"
    return _result(places, step) not in (None, before)


def _idle_lines(places: Places, step: str) -> tuple[str, ...]:
    """What a command said that ended well without doing anything, and what to do."""
    return (
        *(_last_lines(places.log) or ["(it said nothing)"]),
        f"`pestle {step}` ended without an error, but without a result, {ATTEMPTS} times. On "
        f"{socket.gethostname()} `{sys.executable} -m pestle --version` must show a version: see "
        "what hides its error there, then use --retry.",
    )


def _wait_for(run: Path) -> None:
    """A command of a study that was killed may still be writing its checkpoint."""
    while is_held(run / FOLDER_LOCK) and not _stopping.is_set():
        time.sleep(_PAUSE)


def _manifest_status(run: Path) -> str:
    try:
        return str(read_json(run / "manifest.json").get("status"))
    except PestleError:
        return ""


def _last_lines(log: Path) -> list[str]:
    """The end of what the last command said."""
    said = log.read_text(encoding="utf-8", errors="replace").rpartition("\n$ pestle ")[2]
    lines = [line.rstrip() for line in said.splitlines()[1:] if line.strip()]
    return lines[-LAST_LINES:]
