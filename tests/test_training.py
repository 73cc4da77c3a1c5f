"""The training loop: resumes bit for bit, stops when it should, keeps the best model, batches."""

from __future__ import annotations

import itertools
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pestle.errors import Interrupted, PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.recipes import resolve
from pestle.run_file import build
from pestle.settings import RunSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import collate, make_graph
from pestle.training.batches import BatchPlan
from pestle.training.loggers import MetricsFile, TensorBoard, require_loggers
from pestle.training.loop import Trainer, TrainingFailed
from pestle.training.objective import TrainingData
from pestle.training.optimizer import Schedule, make_average
from pestle.training.setup import make_fabric


def settings_for(**asked: Any) -> RunSettings:
    names = {"train.threads": 1, **{k.replace("__", "."): v for k, v in asked.items()}}
    return resolve(build({}, names), atoms_learnable=False, has_isolated_atoms=False)[0]


def make_trainer(
    folder: Path,
    foundation: Foundation,
    frames: list[Frame],
    *,
    identity: str = "same",
    **asked: Any,
) -> Trainer:
    """Naive training on the first dozen frames of a list, four more for validation."""
    settings = settings_for(**asked)
    body, atoms = split_isolated_atoms(frames)
    e0s = {int(f.numbers[0]): float(f.energy or 0) for f in atoms}
    model = foundation.with_reference_energies("Default", e0s)
    train, valid = body[:12], body[12:16]
    graphs = [
        [make_graph(f, model.cutoff, index=k) for k, f in enumerate(fs)] for fs in (train, valid)
    ]
    return Trainer(
        make_fabric(settings.train),
        model,
        [name for name, _ in model.named_parameters()],
        TrainingData(train, graphs[0], valid, graphs[1]),
        settings,
        checkpoint=folder / "last.pt",
        metrics=MetricsFile(folder / "metrics.jsonl"),
        save_best=lambda best, record: torch.save(best.state_dict(), folder / "best.pt"),
        identity=identity,
    )


def records(folder: Path) -> list[dict[str, Any]]:
    lines = MetricsFile.read(folder / "metrics.jsonl")
    for line in lines:
        line.pop("seconds")
    return lines


def interrupt_at(trainer: Trainer, step: int) -> None:
    """A Ctrl-C during the given update."""
    original = trainer.step

    def with_signal(*arguments: Any) -> tuple[float, float]:
        if trainer.counters.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    trainer.step = with_signal  # type: ignore[method-assign]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_resume_equals_no_interruption(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], schedule: str
) -> None:
    """Stopped in the middle of an epoch and again later: same weights, average, log, best model."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    asked = {"train__epochs": 3, "train__schedule": schedule, "train__schedule_patience": 1}
    straight = make_trainer(whole, seed0, demo_train, **asked)
    straight.run()
    for stop in (2, 5):
        trainer = make_trainer(parts, seed0, demo_train, **asked)
        interrupt_at(trainer, stop)
        with pytest.raises(Interrupted):
            trainer.run(resume=stop != 2)
        assert trainer.counters.step == stop
    resumed = make_trainer(parts, seed0, demo_train, **asked)
    resumed.run(resume=True)
    assert resumed.counters.step == straight.counters.step == 9
    for (name, a), (_, b) in zip(
        straight.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(straight.average.shadow_params, resumed.average.shadow_params, strict=True):
        assert torch.equal(a, b)
    assert records(whole) == records(parts)
    best = [torch.load(f / "best.pt", weights_only=True) for f in (whole, parts)]
    assert all(torch.equal(best[0][k], best[1][k]) for k in best[0])


def test_checkpoint_of_another_run_is_refused(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    make_trainer(tmp_path, seed0, demo_train, train__epochs=1).run()
    other = make_trainer(tmp_path, seed0, demo_train, train__epochs=1, identity="other")
    with pytest.raises(Exception, match="other settings, data or foundation"):
        other.run(resume=True)


def test_training_lowers_the_error(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    make_trainer(tmp_path, seed0, demo_train, train__epochs=6).run()
    lines = records(tmp_path)
    assert [line["epoch"] for line in lines] == list(range(7))
    assert lines[-1]["valid"]["forces_rmse"] < 0.7 * lines[0]["valid"]["forces_rmse"]
    assert lines[0]["train"]["loss"] is None and lines[0]["best"]


def test_a_label_that_is_not_finite_is_named(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=3)
    trainer.data.train_graphs[7].forces[2, 1] = float("nan")
    with pytest.raises(TrainingFailed) as caught:
        trainer.run()
    assert trainer.data.train_frames[7].where in caught.value.line
    assert trainer.data.train_frames[6].where + "," not in caught.value.line
    assert caught.value.line.count("frame ") == 1
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.isfinite(v).all() for v in best.values())


def test_a_nan_is_no_improvement(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    trainer._record(None, None)
    best = trainer.counters.best
    trainer.data.valid_graphs[0].forces[0, 0] = float("nan")
    trainer._record(None, None)
    assert trainer.counters.best == best and not records(tmp_path)[-1]["best"]


def test_early_stopping_stops(tmp_path: Path, seed0: Foundation, demo_train: list[Frame]) -> None:
    """With weights that do not move nothing improves, and patience runs out."""
    trainer = make_trainer(
        tmp_path, seed0, demo_train, train__epochs=50, train__patience=3, train__lr=1e-300
    )
    counters = trainer.run()
    assert counters.epoch == 3 and counters.best_epoch == 0
    assert "no improvement" in counters.finished


def test_best_model_holds_the_averaged_weights(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=2)
    trainer.run()
    assert trainer.counters.best_epoch == 2
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    names = [name for name, _ in trainer.model.named_parameters()]
    for name, average in zip(names, trainer.average.shadow_params, strict=True):
        assert torch.equal(best[name], average)
    raw = dict(trainer.model.named_parameters())
    assert any(not torch.equal(best[name], raw[name]) for name in names)


def test_frozen_parameters_do_not_move(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    readout = [n for n, _ in trainer.model.named_parameters() if "readout" in n]
    frozen = Trainer(
        trainer.fabric, trainer.model, readout, trainer.data, trainer.settings,
        checkpoint=trainer.checkpoint, metrics=trainer.metrics, save_best=lambda *_: None,
        identity="x",
    )  # fmt: skip
    before = {n: p.detach().clone() for n, p in frozen.model.named_parameters()}
    frozen.run()
    for name, parameter in frozen.model.named_parameters():
        assert torch.equal(before[name], parameter) == (name not in readout), name


def test_average_warms_up() -> None:
    """Decay min(d, (1+n)/(10+n)): the first updates weigh as the formula says."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = make_average([weight], settings_for(train__ema_decay=0.999).train)
    expected = 0.0
    for n in range(1, 50):
        weight.data += 1.0
        average.update()
        decay = min(0.999, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
        assert float(average.shadow_params[0]) == pytest.approx(expected, rel=1e-12)


def test_batches_keep_the_edge_budget(seed0: Foundation, demo_train: list[Frame]) -> None:
    graphs = [make_graph(f, 5.0, index=k) for k, f in enumerate(demo_train)]
    largest = max(g.n_edges for g in graphs)
    plan = BatchPlan(graphs, batch_size=8, max_edges=3 * largest, seed=1)
    for epoch in (1, 2):
        batches = list(plan.epoch(epoch))
        assert all(b.n_edges <= 3 * largest and b.n_graphs <= 8 for b in batches)
        seen = sorted(itertools.chain.from_iterable(b.frame.tolist() for b in batches))
        assert seen == list(range(len(graphs)))
    assert plan.indices(1) != plan.indices(2)
    assert plan.indices(1) == BatchPlan(graphs, 8, 3 * largest, seed=1).indices(1)
    assert plan.indices(1) != BatchPlan(graphs, 8, 3 * largest, seed=2).indices(1)
    rest = [b.frame.tolist() for b in plan.epoch(1)][2:]
    assert [b.frame.tolist() for b in plan.epoch(1, start=2)] == rest


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 77, 1.0),
        ("cosine", 0, 1.0),
        ("cosine", 50, 0.01 + 0.99 * 0.5),
        ("cosine", 100, 0.01),
        ("exponential", 20, 0.8),
        ("exponential", 40, 0.64),
    ],
)
def test_schedules(schedule: str, step: int, expected: float) -> None:
    train = settings_for(
        train__schedule=schedule, train__epochs=10, train__lr=1.0, train__schedule_patience=2
    ).train
    assert Schedule(train, steps_per_epoch=10).rate(step, 1) == pytest.approx(expected)


def test_warmup_and_second_stage() -> None:
    train = settings_for(train__lr=1.0, train__warmup_steps=4).train
    schedule = Schedule(train, 10, stage_two=(3, 0.1))
    assert [schedule.rate(s, 1) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule.rate(20, 3) == pytest.approx(0.1)


def test_plateau_waits_and_reduces() -> None:
    train = settings_for(train__schedule="plateau", train__lr=1.0, train__schedule_patience=2).train
    schedule = Schedule(train, 10)
    for metric in (1.0, 1.0, 1.0):
        schedule.evaluated(metric)
        assert schedule.rate(0, 1) == 1.0
    schedule.evaluated(1.0)
    assert schedule.rate(0, 1) == pytest.approx(0.8)
    schedule.evaluated(math.nan)
    assert schedule.waited == 1


def test_validation_errors_are_those_of_the_model(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The loop's figures against errors computed here from single predictions."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    trainer._record(None, None)
    valid = records(tmp_path)[0]["valid"]
    frames = trainer.data.valid_frames
    predictions = [predict_frames(trainer.model, [f])[0] for f in frames]
    pairs = list(zip(frames, predictions, strict=True))
    energy = [(p.energy - (f.energy or 0)) / len(f) for f, p in pairs]
    forces = np.concatenate([(p.forces - f.forces).ravel() for f, p in pairs])
    assert valid["energy_rmse"] == pytest.approx(1e3 * np.sqrt(np.mean(np.square(energy))))
    assert valid["energy_mae"] == pytest.approx(1e3 * np.mean(np.abs(energy)))
    assert valid["forces_rmse"] == pytest.approx(1e3 * np.sqrt(np.mean(forces**2)))
    assert valid["forces_mae"] == pytest.approx(1e3 * np.mean(np.abs(forces)))


def test_tensorboard_holds_every_evaluation(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    logger = TensorBoard(tmp_path)
    for epoch in range(3):
        logger.write({"epoch": epoch, "step": 4 * epoch, "valid": {"loss": 1.0 / (epoch + 1)}})
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    values = [(e.step, e.value) for e in events.Scalars("valid/loss")]
    assert values == [(0, 1.0), (4, 0.5), (8, pytest.approx(1 / 3))]


def test_a_logger_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    settings = build({}, {"log.wandb": "project"})
    with pytest.raises(PestleError, match=r"pestle\[wandb\]"):
        require_loggers(settings.log)


def test_the_second_stage_keeps_its_own_best_model(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Losses with other weights are not compared: a hundredfold energy weight wins all the same."""
    trainer = make_trainer(
        tmp_path, seed0, demo_train, train__epochs=4, loss__energy=0.01,
        loss__stage_two_epoch=3, loss__stage_two_energy=1000.0,
    )  # fmt: skip
    counters = trainer.run()
    lines = records(tmp_path)
    assert lines[3]["valid"]["loss"] > lines[2]["valid"]["loss"]
    assert counters.best_epoch >= 3 and lines[3]["best"]


def test_updates_equal_those_of_mace_torch(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The same batches through mace-torch's own data, model and loss classes and a plain AdamW:
    loss by loss and weight by weight the same run."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    trainer.model.export(tmp_path / "start.model")
    from mace import data, modules
    from mace.tools import AtomicNumberTable, torch_geometric

    network = torch.load(tmp_path / "start.model", weights_only=False)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, amsgrad=True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        table = AtomicNumberTable([int(z) for z in network.atomic_numbers])
        loss_function = modules.UniversalLoss(10.0, 10.0, 1.0)
        for members in trainer.batches.indices(1):
            configurations = [
                data.Configuration(
                    atomic_numbers=f.numbers,
                    positions=f.atoms.positions,
                    properties={"energy": f.energy, "forces": f.forces},
                    property_weights={"energy": 1.0, "forces": 1.0, "stress": 0.0},
                )
                for f in (trainer.data.train_frames[k] for k in members)
            ]
            graphs = [
                data.AtomicData.from_config(c, z_table=table, cutoff=5.0) for c in configurations
            ]
            batch = torch_geometric.Batch.from_data_list(graphs)
            optimizer.zero_grad()
            predicted = network(batch.to_dict(), training=True, compute_force=True)
            predicted["stress"] = torch.zeros_like(batch.stress)
            loss = loss_function(pred=predicted, ref=batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            ours = trainer.batches.graphs
            weights = {"energy": 10.0, "forces": 10.0, "stress": 1.0}
            own, _ = trainer.step(collate([ours[k] for k in members]), None, weights)
            trainer.counters.step += 1
            assert own == pytest.approx(float(loss), rel=1e-6)
    finally:
        torch.set_default_dtype(before)
    start = dict(seed0.named_parameters())
    theirs = dict(network.named_parameters())
    for name, parameter in trainer.model.named_parameters():
        moved = parameter.detach() - start[name].detach()
        difference = parameter.detach() - theirs[name.removeprefix("network.")].detach()
        assert difference.norm() <= 1e-3 * moved.norm() + 1e-12, name
