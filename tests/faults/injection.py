"""Faults planted round `pestle.files`, and small runs to plant them in."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pestle
from pestle import files
from pestle.foundations import load_foundation
from pestle.foundations.mace.copies import clone
from pestle.jobs.finetune.resuming import resume_settings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.writing import write_frames

#: Exit code of a process that a planted fault killed.
KILLED = 77
#: Moments of an atomic write: half of the temporary file is there; all of it; it has its name.
MOMENTS = ("half", "whole", "named")


class Faults:
    """Counts the writes of `pestle.files`, and lets one of them go wrong.

    Args:
        at: number of the write that goes wrong, from 1; 0 for none.
        fault: called with the moment and the path of that write.
    """

    def __init__(self, at: int, fault: Callable[[str, Path], None]) -> None:
        self.at, self.fault, self.count = at, fault, 0
        self.paths: list[Path] = []

    @contextmanager
    def planted(self) -> Iterator[Faults]:
        with pytest.MonkeyPatch.context() as patch:
            commit, append = files._commit, files._append

            def on_commit(temporary: Path, path: Path) -> None:
                self.count += 1
                self.paths.append(path)
                if self.count == self.at:
                    content = temporary.read_bytes()
                    temporary.write_bytes(content[: len(content) // 2])
                    self.fault("half", path)
                    temporary.write_bytes(content)
                    self.fault("whole", path)
                    commit(temporary, path)
                    self.fault("named", path)
                else:
                    commit(temporary, path)

            def on_append(path: Path, content: bytes) -> None:
                self.count += 1
                self.paths.append(path)
                if self.count == self.at:
                    append(path, content[: len(content) // 2])
                    self.fault("half", path)
                    append(path, content[len(content) // 2 :])
                    self.fault("whole", path)
                    self.fault("named", path)
                else:
                    append(path, content)

            patch.setattr(files, "_commit", on_commit)
            patch.setattr(files, "_append", on_append)
            yield self


def killed(action: Callable[[], Any], at: int, moment: str) -> bool:
    """Run something in a process that dies without a word at a moment of a write; whether it did,
    or came to its end before."""

    def die(now: str, _path: Path) -> None:
        if now == moment:
            os._exit(KILLED)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            with Faults(at, die).planted():
                action()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED), code
    return code == KILLED


def full(now: str, path: Path) -> None:
    """There is no room for the second half of a file."""
    if now == "half":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def writes_of(action: Callable[[], Any]) -> list[Path]:
    """The files that something writes, in their order."""
    with Faults(0, lambda *_: None).planted() as found:
        action()
    return found.paths


def write_data(folder: Path, demo_train: list[Frame]) -> None:
    """Six training frames, three for validation, three to label."""
    body, atoms = split_isolated_atoms(demo_train)
    write_frames(folder / "train.xyz", body[:6] + atoms)
    write_frames(folder / "valid.xyz", body[6:9])
    write_frames(folder / "more.xyz", body[20:26])


def settings_of(folder: Path, **more: Any) -> dict[str, Any]:
    """A run of seconds on them."""
    return {
        "foundation": "pestle-seed0",
        "data.train": str(folder / "train.xyz"),
        "data.valid": str(folder / "valid.xyz"),
        "train.epochs": 2,
        "train.threads": 1,
        "train.batch_size": 3,
        "train.gate_frames": 2,
        "train.checkpoint_seconds": 0,
        **more,
    }


def go_on(out: Path, asked: dict[str, Any]) -> None:
    """What a user types after a fault."""
    if (out / "run.yaml").exists():
        pestle.finetune(resume_settings(out, {}), out, resume=True)
    else:
        pestle.finetune(asked, out)


def outcome(out: Path) -> dict[str, Any]:
    """What a run must give whatever happened to it: weights, history, judgement; and a folder that
    holds nothing half-written."""
    assert not [p for p in out.rglob("*") if p.name.endswith((".part", ".lock"))]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    return {
        "weights": hashlib.sha256((out / "model" / "weights.safetensors").read_bytes()).hexdigest(),
        "history": [{k: v for k, v in line.items() if k != "seconds"} for line in lines],
        "errors": manifest["errors"],
        "raw": [
            hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("predictions-*"))
        ],
    }


def damage(path: Path, how: str) -> None:
    """One flipped bit in the middle, or the second half cut off."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if how == "flipped":
        content[middle] ^= 1
    else:
        del content[middle:]
    path.write_bytes(content)


def quick_ends(patch: pytest.MonkeyPatch) -> None:
    """Two thirds of a small run are its page and the compilation of its `.model` file; both are
    written here, but not made."""
    load = functools.cache(load_foundation)
    patch.setattr("pestle.jobs.finetune.preparation.load_foundation", load)
    patch.setattr("pestle.foundations.mace.exporting.compiled", clone)
    patch.setattr(
        "pestle.jobs.finetune.train_and_judge.write_report",
        lambda folder: files.write_text(folder / "report.html", "<!doctype html>"),
    )
