"""Replay: two heads of one body, two streams, one update; and the drift that is watched."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pestle.adaptation import METHODS, Case, recipe_of
from pestle.adaptation.recipes import resolve
from pestle.errors import Interrupted
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.foundations.prediction import predict_frames
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import GraphBatch, collate, make_graph
from pestle.training.batches import BatchPlan
from pestle.training.drift import DriftWatch
from pestle.training.loggers import MetricsFile
from pestle.training.loop import Trainer
from pestle.training.losses import loss_weights
from pestle.training.mixing import BySize, Draw, Mixture, Position, make_mixture
from pestle.training.objective import Objective, TrainingData
from pestle.training.replay import GraphsOnDemand, ReplayData, ReplayStream
from pestle.training.setup import make_ready
from run_files import evaluations


def settings_for(**asked: Any) -> RunSettings:
    names = {"method": "pseudolabel", "train.threads": 1}
    names |= {k.replace("__", "."): v for k, v in asked.items()}
    asked = build({}, names)
    return resolve(asked, recipe_of(asked), atoms_learnable=False, has_isolated_atoms=False)[0]


def two_heads(foundation: Foundation, frames: list[Frame], settings: RunSettings) -> Foundation:
    """The model of the method, with the E0s of the data in its target head."""
    body, atoms = split_isolated_atoms(frames)
    e0s = {int(f.numbers[0]): float(f.energy or 0) for f in atoms}
    start = foundation.with_reference_energies(TARGET_HEAD, e0s)
    case = Case(start, TARGET_HEAD, body, settings, foundation.reference_energies[TARGET_HEAD])
    return METHODS[settings.method].adapt(case).model


def labelled_by(foundation: Foundation, frames: list[Frame]) -> list[Frame]:
    """Copies with the foundation's own labels."""
    made = predict_frames(foundation, frames)
    return [replace(f, energy=p.energy, forces=p.forces) for f, p in zip(frames, made, strict=True)]


def graphs_of(frames: list[Frame], model: Foundation, head: str) -> list[GraphBatch]:
    row = model.head_index(head)
    return [make_graph(f, model.cutoff, index=k).with_head(row) for k, f in enumerate(frames)]


def make_data(model: Foundation, foundation: Foundation, frames: list[Frame]) -> TrainingData:
    """12 target frames, 4 to validate; 9 other structures to replay, 3 to watch."""
    body, _ = split_isolated_atoms(frames)
    train, valid = body[:12], body[12:16]
    replay = labelled_by(foundation, body[16:28])
    kept, held = replay[:9], replay[9:]
    return TrainingData(
        train,
        graphs_of(train, model, TARGET_HEAD),
        valid,
        graphs_of(valid, model, TARGET_HEAD),
        ReplayData(
            kept,
            graphs_of(kept, model, REPLAY_HEAD),
            held,
            graphs_of(held, model, REPLAY_HEAD),
        ),
    )


def make_trainer(
    folder: Path,
    foundation: Foundation,
    frames: list[Frame],
    drift: DriftWatch | None = None,
    **asked: Any,
) -> Trainer:
    settings = settings_for(**asked)
    model = two_heads(foundation, frames, settings)
    return Trainer(
        make_ready(settings.train),
        model,
        [name for name, _ in model.named_parameters()],
        make_data(model, foundation, frames),
        settings,
        checkpoint=folder / "last.pt",
        metrics=MetricsFile(folder / "metrics.jsonl"),
        save_best=lambda best, record: torch.save(best.state_dict(), folder / "best.pt"),
        identity="same",
        drift=drift,
    )


def lines_of(folder: Path) -> list[dict[str, Any]]:
    lines = evaluations(folder / "metrics.jsonl")
    for line in lines:
        line.pop("seconds")
    return lines


# -- the two heads --------------------------------------------------------------------------------
def test_both_heads_begin_as_the_foundation(seed0: Foundation, demo_train: list[Frame]) -> None:
    """Forces and interaction energies equal; the replay head has the foundation's E0s, the target
    head those of the data; the target head is last."""
    model = two_heads(seed0, demo_train, settings_for())
    assert model.heads == (REPLAY_HEAD, TARGET_HEAD)
    assert model.reference_energies[REPLAY_HEAD] == seed0.reference_energies[TARGET_HEAD]
    assert model.reference_energies[TARGET_HEAD] != model.reference_energies[REPLAY_HEAD]
    body, _ = split_isolated_atoms(demo_train)
    reference = predict_frames(seed0, body[:5])
    for head in model.heads:
        for old, new in zip(reference, predict_frames(model, body[:5], head=head), strict=True):
            assert new.interaction_energy == pytest.approx(old.interaction_energy, abs=1e-10)
            np.testing.assert_allclose(new.forces, old.forces, atol=1e-10)


def test_joint_gradient_is_the_sum_of_the_two(seed0: Foundation, demo_train: list[Frame]) -> None:
    """One pass over both batches gives the gradient of L_target + L_replay (Eq. 3), with λ_E = 10
    on the target and λ_E = 1 on the replay head."""
    settings = settings_for(recipe="paper")
    model = two_heads(seed0, demo_train, settings)
    data = make_data(model, seed0, demo_train)
    assert data.replay is not None
    # Labels off by a little, so that no gradient is zero.
    for graph in data.replay.train_graphs:
        graph.energy += 0.3
        graph.forces += 0.05
    target, replay = collate(data.train_graphs[:5]), collate(data.replay.train_graphs[:3])
    weights = loss_weights(settings.loss)
    objective = Objective(settings, data)
    parameters = list(model.parameters())

    def gradient(loss: torch.Tensor) -> list[torch.Tensor]:
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [
            torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)
        ]

    joint = gradient(objective(model, target, replay, weights))
    alone = gradient(objective(model, target, None, weights))
    terms = objective.loss.terms(model(replay, training=True), replay)
    other = gradient(terms.loss({"energy": 1.0, "forces": 10.0, "stress": 1.0}))
    for whole, a, b in zip(joint, alone, other, strict=True):
        np.testing.assert_allclose(whole, a + b, atol=1e-12 + 1e-9 * float(whole.abs().max()))
    assert any(float(b.abs().max()) > 1e-6 for b in other)


def test_unlabelled_replay_frames_pull_at_nothing(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """A replay frame without labels is no zero target: the gradient is that of the target alone."""
    settings = settings_for()
    model = two_heads(seed0, demo_train, settings)
    data = make_data(model, seed0, demo_train)
    assert data.replay is not None
    bare = [replace(f, energy=None, forces=None) for f in data.replay.train_frames[:3]]
    replay = collate(graphs_of(bare, model, REPLAY_HEAD))
    target, weights = collate(data.train_graphs[:5]), loss_weights(settings.loss)
    objective = Objective(settings, data)
    losses = [float(objective(model, target, r, weights).detach()) for r in (None, replay)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


# -- the two streams ------------------------------------------------------------------------------
def test_the_stream_meets_every_structure_once_a_lap(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    body, _ = split_isolated_atoms(demo_train)
    stream = ReplayStream(graphs_of(body[:9], seed0, TARGET_HEAD), 1.0, None, seed=3)
    laps = [[stream.member(k) for k in range(9 * lap, 9 * lap + 9)] for lap in range(3)]
    assert all(sorted(lap) == list(range(9)) for lap in laps)
    assert laps[0] != laps[1] != laps[2]


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 5), (2.0, 10), (0.4, 2), (0.01, 1)])
def test_the_ratio_is_replay_per_target(
    seed0: Foundation, demo_train: list[Frame], ratio: float, expected: int
) -> None:
    body, _ = split_isolated_atoms(demo_train)
    stream = ReplayStream(graphs_of(body[:12], seed0, TARGET_HEAD), ratio, None, seed=0)
    graphs, position = stream.draw(0, n_target=5, target_edges=0)
    assert len(graphs) == position == expected


def test_the_edge_ratio_bounds_the_cost_of_an_update(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Never more edges than so many for each of the target's, and one structure at least."""
    body, _ = split_isolated_atoms(demo_train)
    graphs = graphs_of(body[:12], seed0, TARGET_HEAD)
    target_edges, position = sum(g.n_edges for g in graphs[:5]), 0
    stream = ReplayStream(graphs, 1.0, None, seed=0, edge_ratio=0.5)
    for _ in range(20):
        chosen, position = stream.draw(position, 5, target_edges)
        assert sum(g.n_edges for g in chosen) <= 0.5 * target_edges
        assert len(chosen) in (2, 3)  # frames of six atoms: nearly equal edges
    tiny = ReplayStream(graphs, 1.0, None, seed=0, edge_ratio=1e-6)
    assert len(tiny.draw(0, 5, target_edges)[0]) == 1


def test_graphs_on_demand_are_those_made_before(seed0: Foundation, demo_train: list[Frame]) -> None:
    body, _ = split_isolated_atoms(demo_train)
    made = graphs_of(body[:5], seed0, TARGET_HEAD)
    lazy = GraphsOnDemand(body[:5], seed0.cutoff, torch.float64, seed0.head_index(TARGET_HEAD))
    assert len(lazy) == 5
    for a, b in zip(made, lazy, strict=True):
        for name in vars(a):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert [int(g.frame[0]) for g in lazy[1:3]] == [1, 2] and int(lazy[-1].frame[0]) == 4


# -- the mixtures ---------------------------------------------------------------------------------
def mixture_of(foundation: Foundation, frames: list[Frame], **asked: Any) -> Mixture:
    """12 target frames in batches of 5, 9 replay structures."""
    settings = settings_for(**asked)
    return make_mixture(
        settings, make_data(two_heads(foundation, frames, settings), foundation, frames)
    )


def drawn(mixture: Mixture, updates: int) -> list[Draw]:
    found, position = [], Position()
    for _ in range(updates):
        draw, position = mixture.draw(position)
        found.append(draw)
    assert position.update == updates
    return found


def count(draws: list[Draw], part: str) -> Counter[int]:
    """How often each frame was drawn."""
    graphs = [getattr(draw, part) for draw in draws]
    return Counter(k for g in graphs if g is not None for k in g.frame.tolist())


@pytest.mark.parametrize(
    ("asked", "per_epoch", "updates", "target", "replay"),
    [
        # Batches of 5, 5, 2: three updates pass over the target, and draw 12 replay structures.
        ({}, 3, 3, 1.0, 12 / 9),
        # Two for each of the target frames: 24.
        ({"replay__ratio": 2.0, "replay__edge_ratio": "unbounded"}, 3, 3, 1.0, 24 / 9),
        # In every second update: 5 + 2 structures, then 5 in the next lap.
        ({"replay__every": 2}, 3, 6, 2.0, 12 / 9),
        # One replay structure an update (0.2 of 5, 0.4 of 2 rounded up): 9 updates pass over 9.
        ({"replay__ratio": 0.2, "train__epoch_covers": "all"}, 9, 9, 3.0, 1.0),
    ],
)
def test_mixing_by_ratio_against_a_hand_count(
    seed0: Foundation, demo_train: list[Frame], asked: dict[str, Any], per_epoch: int,
    updates: int, target: float, replay: float,
) -> None:  # fmt: skip
    mixture = mixture_of(seed0, demo_train, **asked)
    assert mixture.updates_per_epoch == per_epoch
    draws = drawn(mixture, updates)
    assert sum(count(draws, "target").values()) == pytest.approx(12 * target)
    assert sum(count(draws, "replay").values()) == pytest.approx(9 * replay)
    long = mixture.passes(600)
    assert long.target == pytest.approx(600 / 3)
    assert long.replay == pytest.approx(600 / updates * replay, rel=0.02)


def test_mixing_by_size_is_that_of_mace_torch(
    seed0: Foundation, demo_train: list[Frame], tmp_path: Path
) -> None:
    """mace-torch 0.3.16: all frames in one shuffled list, target frames 1 + int(0.1/share) times
    where they are fewer than a tenth of the replay structures; an epoch is one pass over it."""
    mixture = mixture_of(seed0, demo_train, replay__ratio="size")
    assert mixture.updates_per_epoch == 5  # 12 + 9 in batches of 5
    draws = drawn(mixture, 5)
    assert count(draws, "target") == dict.fromkeys(range(12), 1)
    assert count(draws, "replay") == dict.fromkeys(range(9), 1)
    assert all(d.joint and 1 <= size_of(d) <= 5 for d in draws)
    assert len({None if d.target is None else d.target.n_graphs for d in draws}) > 1

    settings = settings_for(replay__ratio="size")
    data = make_data(two_heads(seed0, demo_train, settings), seed0, demo_train)
    assert data.replay is not None
    few = replace(
        data, train_frames=data.train_frames[:1], train_graphs=data.train_graphs[:1],
        replay=replace(data.replay, train_graphs=[data.replay.train_graphs[0]] * 62),
    )  # fmt: skip
    mixed = BySize(settings, few)
    assert mixed.repeats == 1 + int(0.1 * 62 / 1) == 7
    assert mixed.updates_per_epoch == -(-(7 + 62) // 5)
    assert mixed.passes(14).target == 7 and mixed.passes(14).replay == 1
    assert "0.5 passes" in mixed.passes(1).line()


def test_a_rare_replay_is_counted_as_rare(seed0: Foundation, demo_train: list[Frame]) -> None:
    """Batches of 5, 5 and 2: on average four structures in every thousandth update."""
    mixture = mixture_of(seed0, demo_train, replay__every=1000, replay__edge_ratio="unbounded")
    assert mixture.passes(90_000).replay == pytest.approx(90 * 4 / 9, rel=0.02)


def test_edges_bound_a_batch_without_making_its_graphs_again(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    made: list[int] = []

    class Counting(GraphsOnDemand):
        def __getitem__(self, index: Any) -> Any:
            made.append(index)
            return super().__getitem__(index)

    frames = split_isolated_atoms(demo_train)[0][:9]
    plan = BatchPlan(Counting(frames, 5.0, torch.float64, 0), 5, 150, seed=0)
    laps = [plan.indices(lap) for lap in range(4)]
    # Python asks a sequence for one more to know where it ends.
    assert len(made) <= len(frames) + 1 and laps[0] != laps[1]
    sizes = [make_graph(f, 5.0).n_edges for f in frames]
    batches = [batch for lap in laps for batch in lap]
    assert all(len(b) == 1 or sum(sizes[k] for k in b) <= 150 for b in batches)


def size_of(draw: Draw) -> int:
    return sum(g.n_graphs for g in (draw.target, draw.replay) if g is not None)


def test_a_joint_loss_is_the_mean_over_all_frames(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Frames of one size with equal λ: the loss of both heads together is that of one batch."""
    same = {"energy": 10.0, "forces": 10.0, "stress": 1.0}
    settings = settings_for(**{f"replay__{name}": value for name, value in same.items()})
    model = two_heads(seed0, demo_train, settings)
    data = make_data(model, seed0, demo_train)
    assert data.replay is not None
    target, replay = collate(data.train_graphs[:4]), collate(data.replay.train_graphs[:1])
    replay.forces += 0.3
    objective = Objective(settings, data)
    joint = objective(model, target, replay, same, joint=True)
    whole = collate([target, replay])
    terms = objective.loss.terms(model(whole, training=True), whole)
    assert float(joint) == pytest.approx(float(terms.loss(same)), rel=1e-12)
    assert float(objective(model, target, replay, same)) > 1.5 * float(joint)
    only = objective(model, None, replay, same, joint=True)
    assert float(only) == pytest.approx(
        float(objective.loss.terms(model(replay, training=True), replay).loss(same)), rel=1e-12
    )


def test_a_share_of_the_replay_passes_through_the_target_head(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Half of the structures, for their forces alone: the target head has other E0s."""
    mixture = mixture_of(seed0, demo_train, replay__target_share=0.5)
    heads: list[int] = []
    for draw in drawn(mixture, 6):
        assert draw.target is not None and draw.replay is not None
        target = int(draw.target.head[0])
        for head, weight in zip(
            draw.replay.head.tolist(), draw.replay.energy_weight.tolist(), strict=True
        ):
            heads.append(head == target)
            assert (weight == 0) == (head == target)
        assert bool((draw.replay.forces_weight > 0).all())
    assert heads == [False, True] * 12


def test_resume_equals_no_interruption_with_replay(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Stopped in the middle of an epoch: weights, average, log and both streams go on unchanged."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    asked = {"train__epochs": 3, "replay__ratio": 0.8, "train__lr": 1e-3}
    straight = make_trainer(whole, seed0, demo_train, **asked)
    straight.run()
    stopped = make_trainer(parts, seed0, demo_train, **asked)
    original = stopped.step

    def with_signal(*arguments: Any) -> tuple[float, float]:
        if stopped.counters.step + 1 == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    stopped.step = with_signal  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        stopped.run()
    assert stopped.counters.step == 5
    resumed = make_trainer(parts, seed0, demo_train, **asked)
    resumed.run(resume=True)
    assert resumed.counters.position == straight.counters.position
    assert straight.counters.position.replayed > 9  # past the first lap
    for (name, a), (_, b) in zip(
        straight.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(straight.average.shadow_params, resumed.average.shadow_params, strict=True):
        assert torch.equal(a, b)
    assert lines_of(whole) == lines_of(parts)


def test_replay_holds_its_head_where_naive_lets_go(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """After the same updates the replay head is nearer to its labels than without replay steps."""
    asked = {"train__epochs": 6, "train__lr": 1e-3, "train__ema_decay": 0.9}
    (tmp_path / "with").mkdir()
    with_replay = make_trainer(tmp_path / "with", seed0, demo_train, **asked)
    with_replay.run()
    (tmp_path / "without").mkdir()
    without = make_trainer(tmp_path / "without", seed0, demo_train, **asked)
    without.mixture.replay = None  # type: ignore[attr-defined]  # the same model and frames, but no replay batch joins an update
    without.run()
    kept, lost = lines_of(tmp_path / "with"), lines_of(tmp_path / "without")
    assert kept[0]["replay"]["forces_rmse"] < 1e-4
    assert kept[-1]["valid"]["forces_rmse"] < 0.9 * kept[0]["valid"]["forces_rmse"]
    assert kept[-1]["replay"]["forces_rmse"] < 0.7 * lost[-1]["replay"]["forces_rmse"]


def test_the_model_can_be_chosen_by_the_replay_head(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The replay head begins without error: by its metric the start stays the best model."""
    asked = {"train__epochs": 2, "train__lr": 1e-3, "train__best_head": REPLAY_HEAD}
    trainer = make_trainer(tmp_path, seed0, demo_train, **asked)
    trainer.run()
    assert trainer.counters.best_update == 0
    assert lines_of(tmp_path)[-1]["valid"]["loss"] < lines_of(tmp_path)[0]["valid"]["loss"]


# -- drift ----------------------------------------------------------------------------------------
def test_drift_is_the_distance_from_the_foundation(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Zero whatever the E0s are; with every force doubled it is the RMS force."""
    body, _ = split_isolated_atoms(demo_train)
    watch = DriftWatch(body[:6], seed0, TARGET_HEAD)
    shifted = seed0.with_reference_energies(TARGET_HEAD, {1: -13.6, 6: -1028.0})
    still = watch.measure(shifted)[TARGET_HEAD]
    assert still.forces_rmse < 1e-9 and still.energy_rmse < 1e-9
    forces = np.concatenate([p.forces.ravel() for p in watch.reference])
    for prediction in watch.reference:
        prediction.forces = 2 * prediction.forces
    moved = watch.measure(seed0)[TARGET_HEAD].forces_rmse
    assert moved == pytest.approx(1e3 * float(np.sqrt(np.mean(forces**2))), rel=1e-9)


def test_a_forgetting_budget_bounds_the_kept_model(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The kept model is the best of those within the budget, and what it cost is known."""
    body, _ = split_isolated_atoms(demo_train)
    asked = {"train__epochs": 5, "train__lr": 1e-3}
    free = tmp_path / "free"
    free.mkdir()
    watch = DriftWatch(body[20:26], seed0, TARGET_HEAD)
    make_trainer(free, seed0, demo_train, watch, **asked).run()
    drift = [line["drift"][TARGET_HEAD]["forces_rmse"] for line in lines_of(free)]
    assert drift[0] < 1e-6 and drift[-1] > drift[1] > 0
    budget = (drift[2] + drift[3]) / 2
    bound = tmp_path / "bound"
    bound.mkdir()
    trainer = make_trainer(bound, seed0, demo_train, watch, train__max_drift=budget, **asked)
    trainer.run()
    lines = lines_of(bound)
    inside = [line for line in lines if line["drift"][TARGET_HEAD]["forces_rmse"] <= budget]
    best = min(inside, key=lambda line: line["valid"]["loss"])
    c = trainer.counters
    assert 0 < len(inside) < len(lines)
    assert (c.best_update, c.best) == (best["step"], best["valid"]["loss"])
    assert c.best_without_budget < c.best and c.best_update_without_budget > c.best_update
