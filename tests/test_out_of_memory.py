"""A device that is too small is told in one line, and costs neither the model nor the labels."""

from __future__ import annotations

import json
import re
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.neighborlist import neighbor_list

import pestle
from pestle import cli
from pestle.errors import Interrupted, PestleError
from pestle.foundations.devices import OutOfMemory
from pestle.foundations.interface import Foundation
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune import first_updates
from pestle.settings.training import TrainSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from pestle.training import update_memory
from pestle.training.failures import TrainingFailed
from pestle.training.gate import Stage, zero_step_gate
from pestle.training.loop import Trainer
from pestle.training.mixing import Draw
from pestle.training.trial_update import largest_draw
from run_files import evaluations

CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8.00 GiB"


def no_gpu_memory() -> None:
    raise torch.OutOfMemoryError(CUDA)


def no_cpu_memory() -> None:
    """What torch itself does, whatever the machine: no address space holds this."""
    torch.empty(10**15)


def failing(
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[int, bool], bool],
    how: Callable[[], None] = no_gpu_memory,
) -> None:
    """Models run out of memory where `fails(number of the call, whether in training)` says so."""
    predict, calls = MaceFoundation.predict, [0]

    def limited(self: Any, graphs: Any, *, training: bool = False, **options: Any) -> Any:
        calls[0] += 1
        if fails(calls[0], training):
            how()
        return predict(self, graphs, training=training, **options)

    monkeypatch.setattr(MaceFoundation, "predict", limited)


@pytest.fixture
def molecules(demo_train: list[Frame]) -> list[Frame]:
    return split_isolated_atoms(demo_train)[0]


@pytest.fixture
def few(tmp_path: Path, demo_train: list[Frame]) -> dict[str, Any]:
    """Settings of a short run on ten frames."""
    body, atoms = split_isolated_atoms(demo_train)
    write_frames(tmp_path / "train.xyz", body[:10] + atoms)
    write_frames(tmp_path / "valid.xyz", body[10:15])
    return {
        "foundation": "pestle-seed0",
        "data.train": str(tmp_path / "train.xyz"),
        "data.valid": str(tmp_path / "valid.xyz"),
        "train.epochs": 3,
        "train.gate_frames": 3,
        "train.threads": 1,
    }


# -- prediction -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "asked"),
    [(no_gpu_memory, "20.00 GiB"), (no_cpu_memory, "4000000000000000 bytes")],
)
def test_a_prediction_says_what_did_not_fit(
    monkeypatch: pytest.MonkeyPatch,
    seed0: Foundation,
    molecules: list[Frame],
    how: Callable[[], None],
    asked: str,
) -> None:
    failing(monkeypatch, lambda *_: True, how)
    frames = molecules[3:7]
    edges = sum(len(neighbor_list("i", f.atoms, seed0.cutoff)) for f in frames)
    atoms = sum(len(f.atoms) for f in frames)
    with pytest.raises(OutOfMemory) as caught:
        predict_frames(seed0, frames, max_edges=edges)
    line = caught.value.line
    assert line.startswith(f"{frames[0].where} and 3 more: out of memory on cpu")
    assert f"4 frames of {atoms} atoms and {edges:,} edges" in line and asked in line
    assert f"than {edges:,}: lower train.eval_batch_edges" in line and "--max-edges" in line


def test_a_structure_that_alone_is_too_large_is_named(
    monkeypatch: pytest.MonkeyPatch, seed0: Foundation, molecules: list[Frame]
) -> None:
    failing(monkeypatch, lambda call, _: call == 3)
    with pytest.raises(OutOfMemory) as caught:
        predict_frames(seed0, molecules, max_edges=1)
    assert caught.value.where == molecules[2].where and "1 frame of" in caught.value.line
    assert "max" not in caught.value.line and "leave it out" in caught.value.line


def test_other_faults_keep_their_traceback(
    monkeypatch: pytest.MonkeyPatch, seed0: Foundation, molecules: list[Frame]
) -> None:
    def fault() -> None:
        raise RuntimeError("shapes do not match")

    failing(monkeypatch, lambda *_: True, fault)
    with pytest.raises(RuntimeError, match="shapes") as caught:
        predict_frames(seed0, molecules[:1])
    assert not isinstance(caught.value, PestleError)


def test_the_memory_of_a_failed_pass_is_given_back(
    monkeypatch: pytest.MonkeyPatch, seed0: Foundation, molecules: list[Frame]
) -> None:
    made: list[weakref.ref] = []

    def fails() -> None:
        features = torch.zeros(3)
        made.append(weakref.ref(features))
        raise torch.OutOfMemoryError(CUDA)

    failing(monkeypatch, lambda *_: True, fails)
    with pytest.raises(OutOfMemory) as caught:
        predict_frames(seed0, molecules[:2])
    assert caught.value.__context__ is not None  # torch's own error is there, its tensors are not
    assert made[0]() is None


def test_the_zero_step_gate(
    monkeypatch: pytest.MonkeyPatch, seed0: Foundation, molecules: list[Frame]
) -> None:
    failing(monkeypatch, lambda call, _: call == 2)
    stages = [Stage("the foundation", seed0, "Default"), Stage("none", seed0, "Default")]
    with pytest.raises(OutOfMemory, match="5 frames"):
        zero_step_gate(molecules, stages, TrainSettings(gate_frames=5))


def test_labelling_goes_on_with_smaller_batches(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    molecules: list[Frame],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_frames(Path("data.xyz"), molecules[:8])

    def label(max_edges: int) -> tuple[int, str]:
        words = ["label", "data.xyz", "-m", "pestle-seed0", "-o", "out.xyz", "--json"]
        monkeypatch.setattr(sys, "argv", ["pestle", *words, "--max-edges", str(max_edges)])
        capsys.readouterr()
        code = cli._run()
        captured = capsys.readouterr()
        return code, captured.out or captured.err

    with monkeypatch.context() as patch:
        failing(patch, lambda call, _: call == 2)
        code, line = label(100)
    assert code == 1 and line.startswith("error: data.xyz frame") and line.count("\n") == 1
    assert "than 100: lower" in line
    assert not Path("out.xyz").exists()
    code, facts = label(1)
    assert code == 0 and json.loads(facts)["resumed"] > 0
    assert len(read_frames(["out.xyz"]).frames) == 8


# -- training -------------------------------------------------------------------------------------
def test_training_keeps_and_judges_the_best_model(
    few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out in the second epoch; the model that is judged is that of the first."""
    step = Trainer.step
    with monkeypatch.context() as patch:

        def limited(self: Trainer, *batches: Any) -> Any:
            if self.counters.step == 3:
                patch.setattr(self, "compute_loss", lambda *_: no_gpu_memory())
            return step(self, *batches)

        patch.setattr(Trainer, "step", limited)
        with pytest.raises(TrainingFailed) as caught:
            pestle.finetune(few | {"train.max_edges": 5000, "train.lr": 1e-3}, tmp_path / "run")
    line = caught.value.line
    assert caught.value.exit_code == 1
    assert re.search("training: out of memory on cpu .*update 4, .*5 frames", line)
    for words in ("train.max_edges (now 5,000)", "train.batch_size (now 5)", "best model so far"):
        assert words in line
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "aborted" and "out of memory" in manifest["status_detail"]
    assert manifest["training"]["best_epoch"] == 1 and manifest["errors"]["valid"]["fine-tuned"]
    assert (tmp_path / "run" / "report.html").exists()
    records = evaluations(tmp_path / "run" / "metrics.jsonl")
    assert len(records) == 2 and records[1]["valid"]["loss"] < records[0]["valid"]["loss"]
    judged = manifest["errors"]["valid"]["fine-tuned"]["all"]["forces_rmse"]
    assert judged == pytest.approx(records[1]["valid"]["forces_rmse"], rel=1e-9)


@pytest.mark.parametrize("where", ["backward", "evaluation"])
def test_memory_is_there_for_judging_the_best_model(
    few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """No tensor of the failed pass is alive when the best model is predicted with."""
    made: list[weakref.ref] = []
    compute_loss = Trainer.compute_loss

    def watched(self: Trainer, *batches: Any) -> torch.Tensor:
        loss = compute_loss(self, *batches)
        made.append(weakref.ref(loss))
        if where == "backward" and self.counters.step == 3:
            monkeypatch.setattr(torch.autograd, "backward", lambda *_, **__: no_gpu_memory())
        return loss

    def judge(*_: Any) -> Any:
        assert made and all(loss() is None for loss in made)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "compute_loss", watched)
    monkeypatch.setattr("pestle.jobs.finetune.train_and_judge.judge", judge)
    if where == "evaluation":
        record = Trainer._record

        def limited(self: Trainer, *figures: Any) -> None:
            if self.counters.step == 2:
                failing(monkeypatch, lambda *_: True)
            record(self, *figures)

        monkeypatch.setattr(Trainer, "_record", limited)
    with pytest.raises(Interrupted):  # as `judge` was reached
        pestle.finetune(few, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert "out of memory" in manifest["training"]["finished"]
    assert manifest["training"]["best_epoch"] == (1 if where == "backward" else 0)
    if where == "evaluation":
        assert "train.eval_batch_edges" in manifest["training"]["finished"]


def test_a_trial_update_that_does_not_fit_starts_no_run(
    few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_loss = Trainer.compute_loss

    def limited(self: Trainer, draw: Draw, weights: Any) -> torch.Tensor:
        assert draw.replay is not None
        failing(monkeypatch, lambda *_: True, no_cpu_memory)
        return compute_loss(self, draw, weights)

    monkeypatch.setattr(Trainer, "compute_loss", limited)
    pool = {"method": "multihead", "replay.pool": [few["data.train"]], "replay.ratio": 0.4}
    with pytest.raises(OutOfMemory) as caught:
        pestle.finetune(few | pool, tmp_path / "run")
    line = caught.value.line
    assert re.search("trial update, .*5 frames .*2 frames", line)
    assert "train.max_edges (now no bound)" in line and "replay.ratio (now 0.4)" in line
    assert "best model" not in line
    assert not (tmp_path / "run").exists()


def test_anywhere_else_it_is_still_one_line(
    few: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def full(self: Any, *_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(CUDA + "\nSee documentation")

    monkeypatch.setattr(MaceFoundation, "to", full)
    words = ["evaluate", "pestle-seed0", few["data.valid"]]
    monkeypatch.setattr(sys, "argv", ["pestle", *words])
    assert cli._run() == 1
    assert capsys.readouterr().err == f"error: {CUDA} See documentation\n"


def test_batches_are_predicted_as_before(seed0: Foundation, molecules: list[Frame]) -> None:
    """One by one or together: the same numbers, each frame with its own."""
    together = predict_frames(seed0, molecules[:6])
    for frame, made in zip(molecules[:6], together, strict=True):
        alone = predict_frames(seed0, [frame])[0]
        assert made.energy == pytest.approx(alone.energy, abs=1e-9)
        np.testing.assert_allclose(made.forces, alone.forces, atol=1e-10)


def test_an_update_that_cannot_fit_is_not_tried(
    few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told with a figure and the setting; the time is left out. With enough memory it is there."""
    monkeypatch.setattr(update_memory, "SMALL", 0)
    few = few | {"train.lr": 1e-3}
    plan = pestle.finetune(few, tmp_path / "run", dry_run=True).manifest.plan
    assert plan.seconds_per_step > 0 and not plan.untimed
    monkeypatch.setattr(update_memory, "free_memory", lambda: 1e6)
    monkeypatch.setattr(first_updates, "timed_update", lambda *_: pytest.fail("tried"))
    manifest = pestle.finetune(few, tmp_path / "run", dry_run=True).manifest
    assert manifest.plan.seconds_per_step is None and manifest.plan.estimated_seconds is None
    assert "train.max_edges=" in manifest.plan.untimed and "GiB" in manifest.plan.untimed
    with pytest.raises(PestleError, match=r"train\.max_edges="):
        pestle.finetune(few | {"train.lr": "auto"}, tmp_path / "run", dry_run=True)


def test_the_estimated_memory_grows_with_the_batch_and_the_advice_makes_it_fit(
    few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs: list[tuple[update_memory.Need, float]] = []

    def watched(trainer: Trainer) -> update_memory.Need | None:
        need = update_memory.too_large(trainer)
        if need is not None:
            needs.append((need, update_memory.kept_bytes(trainer, largest_draw(trainer))))
        return need

    monkeypatch.setattr(update_memory, "SMALL", 0)
    monkeypatch.setattr(update_memory, "free_memory", lambda: 4e6)
    monkeypatch.setattr(first_updates, "too_large", watched)
    few = few | {"train.lr": 1e-3}
    said = [
        pestle.finetune(few | {"train.batch_size": size}, tmp_path / "run", dry_run=True)
        for size in (5, 10)
    ]
    estimates = [need.bytes for need, _ in needs]
    # Twice the edges, and tensors made of the weights once.
    assert 1.5 < estimates[1] / estimates[0] < 2
    for need, kept in needs:  # the small update tells what the large one keeps
        assert need.bytes == pytest.approx(update_memory.PEAK * kept, rel=0.02)
    line = said[-1].manifest.plan.untimed
    (advice,) = re.findall(r"--set train\.max_edges=(\d+)", line)
    assert f"{needs[-1][0].edges:,} edges" in line and "now 10" in line
    bounded = few | {"train.batch_size": 10, "train.max_edges": int(advice)}
    plan = pestle.finetune(bounded, tmp_path / "run", dry_run=True).manifest.plan
    assert not plan.untimed and plan.seconds_per_step > 0 and len(needs) == 2
