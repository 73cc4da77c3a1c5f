"""The pseudolabels of a run survive a stop, and a dry run makes them for the run."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pestle
from pestle import cli
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.labels.labelling import FoundationLabeller
from pestle.labels.partial import PartialLabels
from pestle.labels.resumable import LabellingStopped, labels_of_run
from pestle.labels.signatures import Labels
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.writing import write_frames

LOAD = cache(load_foundation)


@pytest.fixture
def settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_train: list[Frame]
) -> dict[str, Any]:
    """A short run with replay of twelve structures, labelled three in a batch or so."""
    monkeypatch.chdir(tmp_path)
    body, atoms = split_isolated_atoms(demo_train)
    write_frames(Path("train.xyz"), body[:6] + atoms)
    write_frames(Path("valid.xyz"), body[6:9])
    write_frames(Path("pool.xyz"), body[20:32])
    return {
        "foundation": "pestle-seed0",
        "data.train": "train.xyz",
        "data.valid": "valid.xyz",
        "method": "pseudolabel",
        "replay.pool": ["pool.xyz"],
        "train.epochs": 1,
        "train.threads": 1,
        "train.eval_batch_edges": 100,
        "train.gate_frames": 3,
    }


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a network takes a second, and no run changes its foundation."""
    monkeypatch.setattr("pestle.jobs.finetune.preparation.load_foundation", LOAD)


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Structures in each batch that is labelled."""
    return watch(monkeypatch)


def watch(monkeypatch: pytest.MonkeyPatch, stop_in: int | None = None) -> list[int]:
    """Count the batches; SIGTERM comes while the one numbered `stop_in` is made."""
    sizes: list[int] = []
    batches = FoundationLabeller.batches

    def watched(self: Any, frames: Any) -> Iterator[list[Labels]]:
        for made in batches(self, frames):
            if len(sizes) == stop_in:
                os.kill(os.getpid(), signal.SIGTERM)
            sizes.append(len(made))
            yield made

    monkeypatch.setattr(FoundationLabeller, "batches", watched)
    return sizes


def bytes_of(run: str) -> list[bytes]:
    names = ("replay/train.xyz", "replay/valid.xyz", "model/weights.safetensors")
    return [(Path(run) / name).read_bytes() for name in names]


def test_a_stopped_labelling_goes_on_in_the_run(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is missing is labelled, and the run is the uninterrupted one to the last bit."""
    with monkeypatch.context() as patch:
        whole = watch(patch)
        pestle.finetune(settings, "whole")
    assert sum(whole) == 12 and len(whole) >= 3
    assert not list(Path().glob("*.partial"))
    with monkeypatch.context() as patch:
        before = watch(patch, stop_in=1)
        with pytest.raises(LabellingStopped) as stop:
            pestle.finetune(settings, "run")
    assert before == whole[:1] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert "SIGTERM" in str(stop.value) and str(stop.value).endswith("run.labels.partial")
    assert not Path("run").exists() and Path("run.labels.partial").exists()
    with monkeypatch.context() as patch:
        after = watch(patch)
        manifest = pestle.finetune(settings, "run").to_json()
    assert after == whole[1:]
    assert bytes_of("run") == bytes_of("whole")
    notes = " ".join(manifest["replay"]["notes"])
    assert re.search(rf"\b{sum(after)} labelled now, 0 ", notes)
    assert f"{whole[0]} labelled before a stop" in notes
    assert not Path("run.labels.partial").exists()


def test_a_dry_run_keeps_the_labels_of_this_model(
    settings: dict[str, Any], labelled: list[int], capsys: pytest.CaptureFixture
) -> None:
    """Whatever structures are selected next; another model's labels are made anew."""
    pestle.finetune(settings, "runs/mine", dry_run=True)
    partial = Path("runs/mine.labels.partial")
    assert sum(labelled) == 12 and list(Path("runs").iterdir()) == [partial]
    assert f"{partial}: the pseudolabels are kept" in capsys.readouterr().err
    labelled.clear()
    plan = pestle.finetune(settings | {"replay.count": 8}, "runs/mine", dry_run=True).to_json()
    assert labelled == [] and plan["replay"]["n_train"] + plan["replay"]["n_valid"] == 8
    said = capsys.readouterr().err
    assert "4 of its structures" in said and "8 of 8 structures" in said
    pestle.finetune(settings | {"train.dtype": "float32"}, "runs/mine", dry_run=True)
    assert sum(labelled) == 12
    assert "another model" in capsys.readouterr().err


def test_the_command_says_how_to_go_on(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["finetune", "-f", "pestle-seed0", "-m", "pseudolabel", "-d", "train.xyz"]
    words += ["--valid", "valid.xyz", "-o", "run", "--set", "replay.pool=pool.xyz"]
    words += ["--set", "train.eval_batch_edges=100", "--set", "train.gate_frames=3", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["pestle", *words])
    with monkeypatch.context() as patch:
        watch(patch, stop_in=2)
        assert cli._run() == 130
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].endswith("run.labels.partial")
    assert cli._run() == 0
    said = capsys.readouterr()
    assert "going on from run.labels.partial" in said.err
    assert "Dry run" in said.out.splitlines()[-1]


def test_where_no_file_can_be_kept_it_is_said(
    settings: dict[str, Any],
    labelled: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """As beside a run folder that is the only writable place of a container."""
    Path("run").mkdir()
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path).name == "run")
    pestle.finetune(settings, "run", dry_run=True)
    assert sum(labelled) == 12 and [str(p) for p in Path().glob("run*")] == ["run"]
    assert not list(Path("run").iterdir())
    said = capsys.readouterr().err
    assert "run.labels.partial cannot be written" in said
    assert "are kept" not in said


@pytest.mark.parametrize("out", [".", "..", "run", "runs/mine", "runs/mine/"])
def test_the_file_lies_beside_the_run_folder(out: str, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    path = labels_of_run(Path(out))
    assert path.parent.resolve() == Path(out).resolve().parent
    assert path.name == f"{Path(out).resolve().name}.labels.partial"


def test_a_full_disk_is_an_error_and_keeps_whole_batches(tmp_path: Path) -> None:
    partial = PartialLabels(tmp_path / "file.partial", "model:x")
    partial.append({"a": Labels.rounded(1.0, np.zeros((2, 3)), None)})
    size = partial.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
    try:
        with pytest.raises(PestleError, match="there is no room"):
            partial.append({"b": Labels.rounded(2.0, np.zeros((20, 3)), None)})
        partial.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(PartialLabels(partial.path, "model:x").labels) == ["a"]
