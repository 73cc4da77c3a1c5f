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
from ase import Atoms

from pestle.adaptation import recipe_of
from pestle.adaptation.recipes import resolve
from pestle.errors import Interrupted, PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.records.metrics import Drift, EvaluatedErrors, MetricsLine
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import make_graph
from pestle.training.batches import BatchPlan
from pestle.training.budget import Budget, default_interval, make_budget
from pestle.training.convergence import convergence
from pestle.training.failures import TrainingFailed, in_files
from pestle.training.loggers import MetricsFile, TensorBoard, require_loggers
from pestle.training.loop import Trainer
from pestle.training.objective import TrainingData
from pestle.training.optimizer import Schedule, make_average
from pestle.training.setup import make_ready
from run_files import evaluations


def settings_for(**asked: Any) -> RunSettings:
    names = {"train.threads": 1, **{k.replace("__", "."): v for k, v in asked.items()}}
    asked = build({}, names)
    return resolve(asked, recipe_of(asked), atoms_learnable=False, has_isolated_atoms=False)[0]


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
        make_ready(settings.train),
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
    lines = evaluations(folder / "metrics.jsonl")
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


def test_an_infinite_validation_loss_at_the_start_names_its_frames(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    graphs = trainer.data.valid_graphs
    for k, value in ((1, math.inf), (3, math.nan)):
        graphs[k].positions[0, 0] = value
    with pytest.raises(TrainingFailed, match="before the first update") as caught:
        trainer.run()
    named = [f.where in caught.value.line for f in trainer.data.valid_frames]
    assert named == [False, True, False, True]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_resume_equals_no_interruption(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], schedule: str
) -> None:
    """Stopped in the middle of an epoch, at an evaluation, and after the last update: same weights,
    average, log, best model."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    asked = {"train__epochs": 3, "train__schedule": schedule, "train__schedule_patience": 1}
    straight = make_trainer(whole, seed0, demo_train, **asked)
    straight.run()
    spent = 0.0
    for stop in (2, 5, 6, 9):
        trainer = make_trainer(parts, seed0, demo_train, **asked)
        interrupt_at(trainer, stop)
        with pytest.raises(Interrupted):
            trainer.run(resume=stop != 2)
        assert trainer.counters.step == stop
        assert trainer.counters.cpu_seconds > spent  # those before the stop count
        spent = trainer.counters.cpu_seconds
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
    with pytest.raises(Exception, match=r"last\.pt: .*other settings"):
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
    frame = trainer.data.train_frames[7]
    assert f"{Path(frame.source).name} frame {frame.index}." in caught.value.line
    assert caught.value.line.count("frame ") == 1
    # Nothing was learned: no best model is spoken of.
    assert trainer.counters.best_update == 0 and "best model" not in caught.value.line
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.isfinite(v).all() for v in best.values())


def test_frames_are_named_by_file_as_it_is_typed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {str(tmp_path / "data" / "a.xyz"): (3, 7, 12), "/elsewhere/b.xyz": (5,)}
    frames = [Frame(Atoms("H"), source=s, index=k) for s, found in files.items() for k in found]
    assert in_files(frames) == "data/a.xyz frames 3, 7 and 12; /elsewhere/b.xyz frame 5"


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
        tmp_path, seed0, demo_train, train__epochs=50, train__patience=3,
        train__eval_interval=1, train__lr=1e-300,
    )  # fmt: skip
    counters = trainer.run()
    assert trainer.budget.epochs_after(counters.step) == 3 and counters.best_update == 0
    assert "no improvement" in counters.finished


def test_best_model_holds_the_averaged_weights(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=2)
    trainer.run()
    assert trainer.counters.best_update == trainer.budget.updates == 6
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
        trainer.device, trainer.model, readout, trainer.data, trainer.settings,
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
        train__schedule=schedule, train__epochs=10, train__lr=1.0, train__schedule_patience=2,
        train__schedule_factor=0.8,
    ).train  # fmt: skip
    assert Schedule(train, make_budget(train, 10)).rate(step) == pytest.approx(expected)


def test_warmup_and_second_stage() -> None:
    train = settings_for(train__lr=1.0, train__warmup_steps=4).train
    schedule = Schedule(train, make_budget(train, 10), second_rate=0.1)
    assert [schedule.rate(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    schedule.second_stage = True
    assert schedule.rate(20) == pytest.approx(0.1)


def test_plateau_waits_reduces_and_ends() -> None:
    """By hand: improvements below a tenth do not count, two such evaluations halve the rate, and
    below a fifth of the first rate training ends."""
    train = settings_for(
        train__schedule="plateau", train__lr=1.0, train__schedule_patience=2,
        train__schedule_factor=0.5, train__schedule_floor=0.2, train__min_improvement=0.1,
    ).train  # fmt: skip
    schedule = Schedule(train, make_budget(train, 10))
    rates = []
    for metric in (1.0, 0.95, 0.85, 0.84, 0.83, math.nan, 0.5, 0.5, 0.5, 0.5, 0.5):
        schedule.evaluated(metric)
        rates.append(schedule.rate(0))
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert schedule.ended


def test_a_second_stage_that_recovers_is_not_ended() -> None:
    """The errors rise where the second stage begins and fall slowly: plateaus count from the top,
    also after a resume; once they fall no more, they end the run."""
    train = settings_for(
        train__schedule="plateau", train__schedule_patience=2, train__schedule_floor=0.5,
        train__min_improvement=0.05,
    ).train  # fmt: skip
    schedule = Schedule(train, make_budget(train, 10))
    schedule.begin_second_stage()
    for metric in (math.nan, 1.0, 2.0, 4.0):
        schedule.evaluated(metric)
    resumed = Schedule(train, make_budget(train, 10))
    resumed.load_state_dict(schedule.state_dict())
    for metric in (5.0, 4.7, 4.4, 4.1, 3.8, 3.5, 3.2):
        resumed.evaluated(metric)
    assert resumed.reduced == 1.0 and not resumed.ended
    for metric in (3.2, 3.6, 3.7, 3.2):
        resumed.evaluated(metric)
    assert resumed.ended


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
        valid = EvaluatedErrors(n_frames=1, loss=1.0 / (epoch + 1))
        logger.write(MetricsLine(epoch=epoch, step=4 * epoch, seconds=0.0, lr=1e-3, valid=valid))
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
    assert counters.best_update >= 9 and lines[3]["best"]


def test_the_second_stage_begins_where_the_first_learns_nothing_more(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Plateaus end the first stage, not the run; the second has plateaus and a verdict of its own,
    also where the run was stopped at its first update."""
    asked = {
        "train__epochs": 9, "train__schedule": "plateau", "train__schedule_patience": 2,
        "train__schedule_factor": 0.1, "train__schedule_floor": 0.5,
        "train__min_improvement": 0.99, "loss__stage_two_epoch": 8,
        "loss__stage_two_energy": 1000.0,
    }  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    trainer = make_trainer(whole, seed0, demo_train, **asked)
    counters = trainer.run()
    # Epoch 0 is the first value; of the next ones none is a hundredth of it.
    assert counters.second_stage == 6 and counters.step < 27 and counters.best_update > 6
    lines = records(whole)
    assert lines[3]["valid"]["loss"] > 2 * lines[2]["valid"]["loss"]
    assert trainer.convergence().best_update == counters.best_update

    stopped = make_trainer(parts, seed0, demo_train, **asked)
    interrupt_at(stopped, 7)
    with pytest.raises(Interrupted):
        stopped.run()
    resumed = make_trainer(parts, seed0, demo_train, **asked)
    assert resumed.run(resume=True).second_stage == 6
    assert records(parts) == lines


def test_a_second_stage_after_the_end_is_refused(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    with pytest.raises(PestleError, match=r"epoch 4,.* 3 epochs") as error:
        make_trainer(tmp_path, seed0, demo_train, train__epochs=3, loss__stage_two_epoch=4)
    assert error.value.where == "loss.stage_two_epoch"


def test_what_drifted_too_far_is_no_progress(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The loss falls in every epoch; beyond the forgetting budget that does not go on for ever."""

    class Moving:
        n = 0

        def measure(self, _: Foundation) -> dict[str, Drift]:
            self.n += 1
            return {"Default": Drift(forces_rmse=0.0 if self.n == 1 else 60.0)}

    asked = {
        "train__epochs": 9, "train__schedule": "plateau", "train__schedule_patience": 2,
        "train__schedule_factor": 0.1, "train__schedule_floor": 0.5, "train__min_improvement": 1e-6,
    }  # fmt: skip
    trainer = make_trainer(tmp_path, seed0, demo_train, train__max_drift=50.0, **asked)
    trainer.evaluator.drift = Moving()  # type: ignore[assignment]
    counters = trainer.run()
    losses = [line["valid"]["loss"] for line in records(tmp_path)]
    assert losses == sorted(losses, reverse=True)
    assert counters.best_update == 0 and counters.step == 6


def test_a_run_that_lost_its_patience_goes_on_at_another_rate(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    asked = {"train__epochs": 6, "train__schedule": "constant", "train__patience": 1}
    trainer = make_trainer(tmp_path, seed0, demo_train, train__lr=0.3, **asked)
    first = trainer.run()
    assert "no improvement" in first.finished and first.step == 3
    again = make_trainer(tmp_path, seed0, demo_train, train__lr=0.3, **asked)
    assert again.run(resume=True).step == 3
    lower = make_trainer(tmp_path, seed0, demo_train, train__lr=0.1, **asked)
    assert lower.run(resume=True).step > 3


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
        for members in trainer.mixture.laps.indices(1):
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
            draw, trainer.counters.position = trainer.mixture.draw(trainer.counters.position)
            assert draw.target is not None and draw.target.frame.tolist() == members
            own, _ = trainer.step(draw, {"energy": 10.0, "forces": 10.0, "stress": 1.0})
            assert own == pytest.approx(float(loss), rel=1e-6)
    finally:
        torch.set_default_dtype(before)
    start = dict(seed0.named_parameters())
    theirs = dict(network.named_parameters())
    for name, parameter in trainer.model.named_parameters():
        moved = parameter.detach() - start[name].detach()
        difference = parameter.detach() - theirs[name.removeprefix("network.")].detach()
        assert difference.norm() <= 1e-3 * moved.norm() + 1e-12, name


# -- how long -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("updates", "per_epoch", "epochs"),
    [(20_000, 4, 13), (20_000, 12, 5), (20_000, 413, 1), (24, 12, 1), (480, 12, 4)],
)
def test_evaluations_are_whole_epochs_of_fifty_updates(
    updates: int, per_epoch: int, epochs: int
) -> None:
    """13 epochs of 4 updates are the first to make 50; a run of 480 updates has ten evaluations."""
    assert default_interval(updates, per_epoch) == epochs


def test_budgets_by_hand() -> None:
    """Updates and epochs say the same; the end is evaluated, though it is off the grid."""
    by_epochs = make_budget(settings_for(train__epochs=6, train__eval_interval=2).train, 3)
    assert by_epochs == Budget(updates=18, per_epoch=3, interval=6)
    by_updates = make_budget(settings_for(train__updates=17, train__eval_interval=2).train, 3)
    assert by_updates == Budget(updates=17, per_epoch=3, interval=6)
    assert [u for u in range(1, 18) if by_updates.evaluates_after(u)] == [6, 12, 17]
    assert by_updates.epochs == 5.6667 and by_updates.epochs_after(6) == 2
    assert [by_updates.epoch_of(u) for u in (0, 2, 3)] == [1, 1, 2]
    # Where nobody says, 20,000 updates, or 200 epochs of a large set.
    open_ended = settings_for().train
    assert make_budget(open_ended, 12).updates == 20_000
    assert make_budget(open_ended, 3_937).updates == 200 * 3_937


def test_updates_and_epochs_together_are_refused() -> None:
    with pytest.raises(PestleError, match="both say how long"):
        settings_for(train__updates=10, train__epochs=2)


@pytest.mark.parametrize(
    ("values", "converged", "improvement"),
    [
        # Stopped in the middle of a fall: 1.6 → 1 in the last quarter.
        ([8, 4, 2, 1.6, 1.0], False, 0.375),
        # The last two of nine evaluations are told, not the fall from 64 that they do not show.
        ([64, 32, 16, 8, 7, 6, 5, 4.5, 4.0], False, 0.2),
        # The best is the last but one: what it gained is told.
        ([8, 4, 2, 1.0, 1.1], False, 0.5),
        # The last two gained half a per cent.
        ([8, 4, 1.0, 1.0, 0.995], True, 0.005),
        # The best lies further back.
        ([8, 4, 0.5, 0.7, 0.6], True, 0.0),
        # A run of one evaluation is all recent.
        ([8, 4], False, 0.5),
        # The start was never improved on: nothing was learned, and nothing is to be gained so.
        ([1.0, 2.0, 3.0], True, 0.0),
        ([1.0], True, 0.0),
    ],
)
def test_convergence_by_hand(values: list[float], converged: bool, improvement: float) -> None:
    found = convergence([(10 * k, v) for k, v in enumerate(values)], window=2, threshold=0.02)
    assert found.converged == converged
    assert found.improvement == pytest.approx(improvement)
    if not converged:
        assert f"over the last {found.updates} updates" in found.pace


def test_the_pace_of_a_short_run_is_that_of_its_end() -> None:
    """240 and 260 updates of one fall: a window longer than the run does not tell them apart."""
    values = [(20 * k, 100.0 * 0.8**k) for k in range(14)]
    short, longer = (convergence(values[:n], window=30, threshold=0.01) for n in (9, 14))
    assert short.updates == 40 and short.improvement == pytest.approx(1 - 0.8**2)
    assert longer.updates == 80 and longer.improvement == pytest.approx(1 - 0.8**4)
    assert not short.converged and not longer.converged


def test_a_run_stopped_too_early_says_so(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Six epochs of a falling error; and a rate at which nothing falls."""
    early = make_trainer(tmp_path, seed0, demo_train, train__epochs=6)
    early.run()
    assert not early.convergence().converged and early.convergence().improvement > 0.1
    still = tmp_path / "still"
    still.mkdir()
    done = make_trainer(still, seed0, demo_train, train__epochs=3, train__lr=1e-300)
    done.run()
    assert done.convergence().converged


def test_plateaus_end_a_run(tmp_path: Path, seed0: Foundation, demo_train: list[Frame]) -> None:
    """At a rate that moves nothing each plateau takes two evaluations after the first; 0.5 and 0.25
    of the rate follow, 0.125 is below the floor."""
    trainer = make_trainer(
        tmp_path, seed0, demo_train, train__updates=300, train__lr=1e-300,
        train__eval_interval=1, train__schedule_patience=2, train__schedule_factor=0.5,
        train__schedule_floor=0.2,
    )  # fmt: skip
    counters = trainer.run()
    assert counters.step == 3 * 6 and "improved no more" in counters.finished


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_finished_run_goes_on_as_one_that_was_asked_for_more(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], schedule: str
) -> None:
    """Two epochs and then two more: bit for bit the run of four, log included."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    asked = {
        "train__schedule": schedule, "train__eval_interval": 1, "train__schedule_patience": 1,
        "train__min_improvement": 0.5, "train__schedule_floor": 1e-6,
    }  # fmt: skip
    straight = make_trainer(whole, seed0, demo_train, train__epochs=4, **asked)
    straight.run()
    first = make_trainer(parts, seed0, demo_train, train__epochs=2, **asked)
    assert "all 6 updates done" in first.run().finished
    second = make_trainer(parts, seed0, demo_train, train__epochs=4, **asked)
    assert second.run(resume=True).step == straight.counters.step > 6
    assert records(whole) == records(parts)
    for a, b in zip(straight.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    # Asked for no more than it has, it does nothing.
    third = make_trainer(parts, seed0, demo_train, train__epochs=4, **asked)
    assert third.run(resume=True).step == straight.counters.step
    assert records(whole) == records(parts)


def test_another_rate_starts_the_plateaus_anew(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """A run that its plateaus ended goes on when it gets another rate, at that rate."""
    asked = {
        "train__updates": 60, "train__eval_interval": 1, "train__schedule_patience": 1,
        "train__schedule_floor": 0.5,
    }  # fmt: skip
    ended = make_trainer(tmp_path, seed0, demo_train, train__lr=1e-300, **asked)
    steps = ended.run().step
    assert steps < 60
    again = make_trainer(tmp_path, seed0, demo_train, train__lr=1e-300, **asked)
    assert again.run(resume=True).step == steps
    other = make_trainer(tmp_path, seed0, demo_train, train__lr=1e-3, **asked)
    assert other.run(resume=True).step > steps
    assert records(tmp_path)[-1]["valid"]["loss"] < records(tmp_path)[0]["valid"]["loss"]
