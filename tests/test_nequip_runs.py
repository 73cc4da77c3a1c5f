"""Whole runs of a NequIP-type model: what is written can be used, resume equals no interruption."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule

import nequip_factory
import pestle
from pestle.errors import Interrupted
from pestle.foundations import load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.foundations.nequip.foundation import NequipFoundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune.plan import short_plan
from pestle.jobs.finetune.resuming import resume_settings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from pestle.training.loop import Trainer


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small foundation in a model folder, and rattled molecules labelled by another one."""
    folder = tmp_path_factory.mktemp("task")
    foundation = nequip_factory.foundation()
    foundation.save(folder / "foundation")
    teacher = NequipFoundation(
        nequip_factory.network(nequip_factory.shape(), seed=5),
        elements=foundation.elements,
        heads=("Default",),
        e0s=foundation.e0s,
        provenance=foundation.provenance,
    )
    frames = []
    for k in range(15):
        atoms = molecule(("CH3OH", "CH3Cl", "H2O")[k % 3])
        atoms.rattle(0.1, seed=k)
        frames.append(Frame(atoms, source="made", index=k))
    for frame, made in zip(frames, predict_frames(teacher, frames), strict=True):
        frame.energy, frame.forces = made.energy, made.forces
    write_frames(folder / "train.xyz", frames[:10])
    write_frames(folder / "valid.xyz", frames[10:])
    return {
        "foundation": str(folder / "foundation"),
        "data.train": str(folder / "train.xyz"),
        "data.valid": str(folder / "valid.xyz"),
        "train.epochs": 2,
        "train.threads": 1,
        "train.lr": 1e-3,
    }


@pytest.mark.parametrize("method", ["naive", "lora"])
@pytest.mark.parametrize(("shift", "coarse"), [(0.0, False), (-3e3, True)])
def test_the_plan_says_which_files_there_will_not_be(
    task: dict[str, Any], tmp_path: Path, method: str, shift: float, coarse: bool
) -> None:
    """No file for LAMMPS by the architecture; none for ASE if float32 is too coarse for the E0s."""
    e0s = {symbol: shift - k for k, symbol in enumerate(("H", "C", "O", "Cl"))}
    names = {"method": method, "e0s": e0s, "train.updates": 1, "train.epochs": None}
    plan = pestle.finetune(task | names, tmp_path / "run", dry_run=True)
    said = [line for line in short_plan(plan.manifest) if line.startswith("files")]
    assert len(said) == 1 and "for LAMMPS" in said[0] and "pestle.load" in said[0]
    assert ("for ASE" in said[0] and "float32" in said[0]) is coarse


def test_a_run_gives_a_model_and_a_file_of_its_own(task: dict[str, Any], tmp_path: Path) -> None:
    manifest = pestle.finetune(task | {"method": "naive"}, tmp_path / "run").to_json()
    assert manifest["status"] == "finished"
    model = pestle.load(tmp_path / "run")
    written = load_foundation(tmp_path / "run" / "model" / "pestle.nqx")
    frames = read_frames([task["data.valid"]]).frames
    for a, b in zip(predict_frames(model, frames), predict_frames(written, frames), strict=True):
        assert b.energy == pytest.approx(a.energy, abs=1e-4)  # single precision
        np.testing.assert_allclose(b.forces, a.forces, atol=1e-4)
    assert manifest["reference_energies"]["single_atoms"]["H"] != pytest.approx(
        manifest["reference_energies"]["e0s"]["H"], abs=0.01
    )
    assert "model/pestle.nqx" in (tmp_path / "run" / "report.html").read_text()


def test_resume_equals_no_interruption_with_replay_and_lora(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    settings = task | {"method": "pseudolabel-lora", "replay.count": 12, "lora.rank": 2}
    pestle.finetune(settings, tmp_path / "whole")
    assert re.search("no pestle-heads.nqx: .*one head", capsys.readouterr().err)
    original = Trainer._record

    def stop_after(trainer: Trainer, *arguments: Any) -> None:
        original(trainer, *arguments)
        if trainer.counters.step >= trainer.budget.per_epoch:
            trainer.stop.received = "SIGTERM"

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_record", stop_after)
        with pytest.raises(Interrupted):
            pestle.finetune(settings, tmp_path / "parts")
    resumed = resume_settings(tmp_path / "parts", {})
    pestle.finetune(resumed, tmp_path / "parts", resume=True)
    weights = [tmp_path / n / "model" / "weights.safetensors" for n in ("whole", "parts")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    model = pestle.load(tmp_path / "parts")
    assert model.heads == (REPLAY_HEAD, TARGET_HEAD)
    records = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").open()]
    assert records[0]["replay"]["forces_rmse"] < 1e-3
    assert records[-1]["valid"]["forces_rmse"] < records[0]["valid"]["forces_rmse"]
