"""Keepers of breadth: penalties by hand, what may move, the way back to the start, resuming."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pestle
from pestle.adaptation import METHODS, Case
from pestle.adaptation.adapter_file import load_adapter
from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import Interrupted, PestleError
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation, Prediction
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune.keepers import require_keepers
from pestle.jobs.finetune.preparation import Prepared
from pestle.jobs.finetune.requirements import unused_settings
from pestle.jobs.finetune.training_graphs import training_data
from pestle.reports.drift import best_drift
from pestle.reports.reading import read_results
from pestle.settings.run_file import build
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import GraphBatch, collate
from pestle.structures.reading import read_frames
from pestle.training.keepers.ewc import EWC, fisher_diagonal
from pestle.training.keepers.interpolation import Interpolation, choose
from pestle.training.keepers.l2sp import L2SP
from pestle.training.keepers.sparse import SparseUpdates
from pestle.training.loggers import MetricsFile
from pestle.training.loop import Trainer
from pestle.training.losses import loss_weights
from pestle.training.mixing import Draw
from pestle.training.objective import Objective, TrainingData
from pestle.training.replay import ReplayData
from pestle.training.setup import make_ready
from pestle.wording import number
from test_replay_training import graphs_of, labelled_by, lines_of, settings_for


def make_trainer(
    folder: Path, foundation: Foundation, frames: list[Frame], method: str = "naive", **asked: Any
) -> Trainer:
    """12 target frames, 4 to validate; 9 others are broad structures, and replayed with a method
    that does, 3 watched."""
    settings = settings_for(method=method, **asked)
    body, atoms = split_isolated_atoms(frames)
    e0s = {int(f.numbers[0]): float(f.energy or 0) for f in atoms}
    start = foundation.with_reference_energies(TARGET_HEAD, e0s)
    case = Case(start, TARGET_HEAD, body, settings, foundation.reference_energies[TARGET_HEAD])
    adaptation = METHODS[method].adapt(case)
    model = adaptation.model
    train, valid, broad = body[:12], body[12:16], labelled_by(foundation, body[16:28])
    data = TrainingData(
        train, graphs_of(train, model, TARGET_HEAD), valid, graphs_of(valid, model, TARGET_HEAD)
    )
    speaks = TARGET_HEAD
    if METHODS[method].replay_labels is not None:
        speaks = REPLAY_HEAD
        kept, held = broad[:9], broad[9:]
        data.replay = ReplayData(
            kept, graphs_of(kept, model, speaks), held, graphs_of(held, model, speaks)
        )
    data.broad_graphs = graphs_of(broad[:3], model, speaks)
    return Trainer(
        make_ready(settings.train),
        model,
        adaptation.trainable,
        data,
        settings,
        checkpoint=folder / "last.pt",
        metrics=MetricsFile(folder / "metrics.jsonl"),
        save_best=lambda best, record: torch.save(best.state_dict(), folder / "best.pt"),
        identity="same",
    )


def push(model: Foundation, size: float = 1e-2) -> None:
    """Move every trained weight by a seeded random amount."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                shift = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(size * shift)


def weights_of(model: Foundation) -> dict[str, torch.Tensor]:
    plain = model.merged() if isinstance(model, LowRankModel) else model
    return {name: p.detach().clone() for name, p in plain.named_parameters()}


# -- L2-SP ----------------------------------------------------------------------------------------
def test_l2sp_is_half_the_squared_distance(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Value c/2 Σ Δ², gradient c Δ, by numpy; the part of the loss it should be."""
    trainer = make_trainer(tmp_path, seed0, demo_train, keep__l2sp=0.7)
    start = weights_of(trainer.model)
    push(trainer.model)
    (keeper,) = trainer.keepers
    assert isinstance(keeper, L2SP)
    penalty = keeper.penalty(None, None)
    shift = {k: (w - start[k]).numpy() for k, w in weights_of(trainer.model).items()}
    by_hand = 0.35 * sum(float(np.sum(d**2)) for d in shift.values())
    assert float(penalty.detach()) == pytest.approx(by_hand, rel=1e-12)
    gradients = torch.autograd.grad(penalty, list(trainer.model.parameters()))
    for (name, d), gradient in zip(shift.items(), gradients, strict=True):
        np.testing.assert_allclose(gradient.numpy(), 0.7 * d, rtol=1e-12, err_msg=name)
    batch, weights = collate(trainer.data.train_graphs[:3]), loss_weights(trainer.settings.loss)
    with_it = float(trainer.compute_loss(Draw(batch), weights).detach())
    bare = Objective(trainer.settings, trainer.data)
    without = float(bare(trainer.model, batch, None, weights).detach())
    assert with_it - without == pytest.approx(by_hand, rel=1e-9)


def test_with_low_rank_updates_the_distance_is_that_of_the_merged_weights(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """A and B stand for W + BA; the readouts that are trained in full count as well."""
    trainer = make_trainer(tmp_path, seed0, demo_train, "pseudolabel-lora", keep__l2sp=2.0)
    start = weights_of(trainer.model)
    push(trainer.model, 0.1)
    moved = weights_of(trainer.model)
    (keeper,) = trainer.keepers
    penalty = keeper.penalty(None, None)
    assert penalty is not None
    by_hand = sum(float(((moved[k] - start[k]) ** 2).sum()) for k in start)
    assert float(penalty.detach()) == pytest.approx(by_hand, rel=1e-10)
    readouts = [k for k in start if "readout" in k and not torch.equal(start[k], moved[k])]
    assert readouts and by_hand > 0.1


# -- elastic weight consolidation -----------------------------------------------------------------
class Toy(torch.nn.Module):
    """E = w · (number of atoms) + u · Σ|r|², forces −2 u r + v: derivatives known by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.u, self.v, self.idle = (
            torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in (0.3, -1.1, 0.4, 2.0)
        )

    def forward(self, graph: GraphBatch, *, training: bool) -> Prediction:
        r = graph.positions
        shares = self.w + self.u * (r**2).sum(1)
        energy = shares.sum()[None]
        return Prediction(energy, 0 * energy, shares, -2 * self.u * r + self.v)


def test_fisher_is_the_mean_square_of_derivatives(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Of a model whose derivatives are known: exact where there is one output, in the mean over
    signs where there are many; zero for a weight that nothing depends on."""
    body, _ = split_isolated_atoms(demo_train)
    one, two = graphs_of([body[0], body[5]], seed0, TARGET_HEAD)
    toy, names = Toy(), ["w", "u", "v", "idle"]
    n = len(one.positions)

    energy_only = {"energy": 9.0, "forces": 0.0}
    found = fisher_diagonal(toy, names, [one, two], energy_only, 0)  # type: ignore[arg-type]
    squares = [float((g.positions**2).sum()) for g in (one, two)]
    # ∂(E/N)/∂w = 1, ∂(E/N)/∂u = Σ|r|²/N, each squared, times λ_E.
    expected = [9.0, 9.0 * np.mean([(s / n) ** 2 for s in squares]), 0.0, 0.0]
    assert [float(f) for f in found] == pytest.approx(expected, rel=1e-12)

    both = {"energy": 9.0, "forces": 4.0}
    many = [one] * 3000
    found = fisher_diagonal(toy, names, many, both, 0)  # type: ignore[arg-type]
    exact = [
        9.0,
        9.0 * (squares[0] / n) ** 2 + 4.0 / (3 * n) * 4 * squares[0],
        4.0,  # every force component has derivative 1
        0.0,
    ]
    assert [float(f) for f in found[:3]] == pytest.approx(exact[:3], rel=0.1)
    assert float(found[3]) == 0


def test_fisher_of_a_network_is_that_of_all_its_outputs(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Against one backward pass for every output of one structure: the same weights matter, and
    the sum agrees; the pseudolabel loss itself has no gradient there."""
    trainer = make_trainer(tmp_path, seed0, demo_train)
    model, graph = trainer.model, trainer.data.broad_graphs[0]
    names = [name for name, _ in model.named_parameters()]
    parameters = list(model.parameters())
    weights = {"energy": 2.0, "forces": 10.0}
    found = fisher_diagonal(model, names, [graph] * 60, weights, 3)
    said = model(graph, training=True)
    n = len(said.forces)
    outputs = [(2.0, said.interaction_energy[0] / n)]
    outputs += [(10.0 / (3 * n), f) for f in said.forces.reshape(-1)]
    exact = [torch.zeros_like(p) for p in parameters]
    for width, output in outputs:
        gradients = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
        for total, gradient in zip(exact, gradients, strict=True):
            if gradient is not None:
                total += width * gradient**2
    assert all(bool((f >= 0).all()) for f in found)
    for name, f, e in zip(names, found, exact, strict=True):
        floor = 1e-20 * float(e.max())
        assert torch.equal(f > floor, e > floor), name
    total, wanted = (sum(float(x.sum()) for x in parts) for parts in (found, exact))
    assert wanted > 0 and total == pytest.approx(wanted, rel=0.25)
    # What squared gradients of the loss on the foundation's own labels would have been.
    loss = ((said.forces - said.forces.detach()) ** 2).mean()
    own = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert all(g is None or float(g.abs().max()) == 0 for g in own)


def test_ewc_is_the_quadratic_form_of_its_fisher(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """c/2 Σ F Δ² and its gradient c F Δ, by numpy."""
    trainer = make_trainer(tmp_path, seed0, demo_train, keep__ewc=3.0)
    start = weights_of(trainer.model)
    push(trainer.model)
    (keeper,) = trainer.keepers
    assert isinstance(keeper, EWC)
    penalty = keeper.penalty(None, None)
    fisher = [f.numpy() for f in keeper.fisher]
    shift = [(w - start[k]).numpy() for k, w in weights_of(trainer.model).items()]
    by_hand = 1.5 * sum(float(np.sum(f * d**2)) for f, d in zip(fisher, shift, strict=True))
    assert by_hand > 1e-3
    assert float(penalty.detach()) == pytest.approx(by_hand, rel=1e-12)
    gradients = torch.autograd.grad(penalty, list(trainer.model.parameters()))
    for gradient, f, d in zip(gradients, fisher, shift, strict=True):
        np.testing.assert_allclose(gradient.numpy(), 3.0 * f * d, rtol=1e-12)


def test_ewc_of_low_rank_updates_holds_the_weights_that_naive_holds(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    naive, lora = (
        make_trainer(tmp_path, seed0, demo_train, method, keep__ewc=1.0).keepers[0]
        for method in ("naive", "lora")
    )
    assert isinstance(naive, EWC) and isinstance(lora, EWC)
    everywhere = dict(zip(naive.weights.names, naive.fisher, strict=True))
    assert 5 < len(lora.weights.names) < len(everywhere)
    for name, f in zip(lora.weights.names, lora.fisher, strict=True):
        np.testing.assert_allclose(f.numpy(), everywhere[name].numpy(), rtol=1e-8, atol=1e-25)


def test_with_replay_the_target_readout_is_free(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The replay head speaks for the foundation: of a readout shared by both heads, half the
    weights are held."""
    naive, replay = (
        make_trainer(tmp_path, seed0, demo_train, method, keep__ewc=1.0).keepers[0]
        for method in ("naive", "pseudolabel")
    )
    assert isinstance(naive, EWC) and isinstance(replay, EWC)
    one, two = (dict(zip(k.weights.names, k.fisher, strict=True)) for k in (naive, replay))
    doubled = [name for name in one if two[name].numel() == 2 * one[name].numel()]
    assert doubled
    for name in doubled:
        assert int((two[name] > 0).sum()) == int((one[name] > 0).sum()) > 0, name


# -- distillation ---------------------------------------------------------------------------------
def test_distillation_compares_the_energies_of_atoms(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Nothing at the start but rounding; then c times the mean square difference from the
    foundation as it was loaded; its gradient by finite differences of the loss."""
    trainer = make_trainer(tmp_path, seed0, demo_train, "pseudolabel", keep__distil=5.0)
    model, data = trainer.model, trainer.data
    assert data.replay is not None
    # In an order of their own: the shares must meet their own structures.
    target, replay = collate(data.train_graphs[:2]), collate(
        [data.replay.train_graphs[k] for k in (4, 1, 7)]
    )  # fmt: skip
    weights = loss_weights(trainer.settings.loss)
    bare = Objective(trainer.settings, data)

    def extra() -> torch.Tensor:
        whole = trainer.compute_loss(Draw(target, replay), weights)
        return whole - bare(model, target, replay, weights)

    assert abs(float(extra().detach())) < 1e-12
    push(model, 1e-3)
    now = model(replay).node_energies
    then = seed0(replay.with_head(0)).node_energies
    by_hand = 5.0 * float(((now - then) ** 2).mean())
    assert by_hand > 1e-6
    assert float(extra().detach()) == pytest.approx(by_hand, rel=1e-8)

    (keeper,) = trainer.keepers
    penalty = keeper.penalty(model(replay, training=True), replay)
    parameters = list(model.parameters())
    assert penalty is not None
    gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
    generator = torch.Generator().manual_seed(2)
    way = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    slope = sum(float((g * w).sum()) for g, w in zip(gradients, way, strict=True) if g is not None)

    def at(step: float) -> float:
        with torch.no_grad():
            for p, w in zip(parameters, way, strict=True):
                p.add_(step * w)
        value = keeper.penalty(model(replay), replay)
        with torch.no_grad():
            for p, w in zip(parameters, way, strict=True):
                p.sub_(step * w)
        return float(value)  # type: ignore[arg-type]

    assert slope == pytest.approx((at(1e-6) - at(-1e-6)) / 2e-6, rel=1e-5)


# -- at the start ---------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["naive", "lora", "pseudolabel", "pseudolabel-lora"])
def test_penalties_on_weights_are_exactly_zero_at_the_start(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], method: str
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, method, keep__l2sp=1e6, keep__ewc=1e6)
    for keeper in trainer.keepers:
        penalty = keeper.penalty(None, None)
        assert penalty is not None and float(penalty.detach()) == 0
        gradients = torch.autograd.grad(penalty, trainer.parameters)
        assert all(float(g.abs().max()) == 0 for g in gradients)
    push(trainer.model)
    assert all(float(k.penalty(None, None).detach()) > 0 for k in trainer.keepers)  # type: ignore[union-attr]


def test_penalties_hold_a_model_nearer_to_its_start(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """The distance in weights, after the same updates, with and without."""

    def distance(name: str, **asked: Any) -> float:
        folder = tmp_path / name
        folder.mkdir()
        trainer = make_trainer(folder, seed0, demo_train, train__epochs=3, train__lr=1e-3, **asked)
        start = weights_of(trainer.model)
        trainer.run()
        moved = weights_of(trainer.model)
        return sum(float(((moved[k] - start[k]) ** 2).sum()) for k in start)

    free = distance("free")
    assert distance("l2sp", keep__l2sp=1e3) < 0.5 * free
    assert distance("ewc", keep__ewc=1e3) < 0.9 * free


# -- sparse updates -------------------------------------------------------------------------------
def test_sparse_updates_move_the_weights_with_the_largest_gradients(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Chosen by the target's gradient over the batches of an epoch; all others, and their averages,
    stay bit for bit; every chosen one moves."""
    asked = {"keep__sparse": 0.03, "train__epochs": 2, "train__batch_size": 4}
    trainer = make_trainer(tmp_path, seed0, demo_train, "pseudolabel", train__lr=1e-3, **asked)
    model, weights = trainer.model, loss_weights(trainer.settings.loss)
    (keeper,) = trainer.keepers
    assert isinstance(keeper, SparseUpdates)
    bare = Objective(trainer.settings, trainer.data)
    sizes = 0.0
    for members in trainer.mixture.laps.indices(1):
        batch = collate([trainer.data.train_graphs[k] for k in members])
        gradients = torch.autograd.grad(bare(model, batch, None, weights), trainer.parameters)
        sizes = sizes + np.concatenate([g.abs().numpy().ravel() for g in gradients])
    n = len(sizes)
    count = round(0.03 * n)
    expected = np.zeros(n, dtype=bool)
    expected[np.argsort(-sizes, kind="stable")[:count]] = True
    masks = np.concatenate([m.numpy().ravel() for m in keeper.masks])
    assert np.array_equal(masks, expected)

    def flat() -> np.ndarray:
        return np.concatenate([p.detach().numpy().ravel().copy() for p in trainer.parameters])

    start = flat()
    trainer.run()
    moved = flat() != start
    averages = np.concatenate([p.numpy().ravel() for p in trainer.average.shadow_params])
    assert int((~moved).sum()) == n - count
    assert np.array_equal(moved, expected)
    assert np.array_equal(averages != start, expected)


# -- interpolation --------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["naive", "lora", "pseudolabel", "pseudolabel-lora"])
def test_interpolation_runs_from_the_foundation_to_the_child(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], method: str
) -> None:
    """0: the foundation's forces; 1: the child bit for bit; between: the line between the merged
    weights, which scales the update of LoRA."""
    trainer = make_trainer(tmp_path, seed0, demo_train, method)
    model = trainer.model
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    start = weights_of(model)
    line = Interpolation(model, trainable)
    push(model, 0.03)
    named = dict(model.named_parameters())
    child = {name: named[name].detach().clone() for name in trainable}
    end = weights_of(model)
    body, _ = split_isolated_atoms(demo_train)
    frames = body[16:19]
    of_child = predict_frames(model, frames, head=TARGET_HEAD)

    line.put(model, child, 1.0)
    for name, weight in child.items():
        assert torch.equal(named[name], weight), name
    line.put(model, child, 0.0)
    pairs = zip(
        predict_frames(model, frames, head=TARGET_HEAD),
        predict_frames(seed0, frames),
        of_child,
        strict=True,
    )
    for back, foundation, moved in pairs:
        np.testing.assert_allclose(back.forces, foundation.forces, atol=1e-10)
        assert np.abs(moved.forces - foundation.forces).max() > 1e-3
    line.put(model, child, 0.3)
    for name, weight in weights_of(model).items():
        expected = 0.7 * start[name] + 0.3 * end[name]
        np.testing.assert_allclose(weight.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def test_the_smallest_coefficient_within_the_tolerance_is_chosen() -> None:
    losses = {0.0: 9.0, 0.4: 2.4, 0.6: 2.19, 0.8: 2.0, 1.0: 2.1}
    assert choose(losses, 0.1) == 0.6
    assert choose(losses, 0.0) == 0.8
    assert choose(losses, 0.25) == 0.4
    assert choose(losses, 10.0) == 0.0


# -- resuming -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("naive", {"keep__l2sp": 10.0}),
        ("naive", {"keep__ewc": 10.0}),
        ("naive", {"keep__sparse": 0.1}),
        ("pseudolabel", {"keep__distil": 10.0}),
        ("pseudolabel-lora", {"keep__l2sp": 1.0, "keep__ewc": 10.0, "keep__distil": 10.0}),
    ],
)
def test_resume_equals_no_interruption(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], method: str, asked: dict[str, float]
) -> None:
    """Stopped in the second epoch, when the weights have left the start: the start that the
    resumed run keeps to is still that of the foundation."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    more: dict[str, Any] = {"train__epochs": 2, "train__lr": 1e-3, **asked}
    straight = make_trainer(whole, seed0, demo_train, method, **more)
    straight.run()
    stopped = make_trainer(parts, seed0, demo_train, method, **more)
    original = stopped.step

    def with_signal(*arguments: Any) -> tuple[float, float]:
        if stopped.counters.step + 1 == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    stopped.step = with_signal  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        stopped.run()
    resumed = make_trainer(parts, seed0, demo_train, method, **more)
    resumed.run(resume=True)
    for (name, a), (_, b) in zip(
        straight.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(straight.average.shadow_params, resumed.average.shadow_params, strict=True):
        assert torch.equal(a, b)
    assert lines_of(whole) == lines_of(parts)


# -- whole runs -----------------------------------------------------------------------------------
def asked_for(files: dict[str, str], method: str, **more: Any) -> dict[str, Any]:
    return {
        "foundation": "pestle-seed0",
        "method": method,
        "data.train": [files["train"]],
        "data.valid": [files["valid"]],
        "train.epochs": 2,
        "train.lr": 1e-3,
        "train.threads": 1,
        **more,
    }


def test_a_run_with_keepers_and_interpolation(demo_files: dict[str, str], tmp_path: Path) -> None:
    """The kept model is the smallest step on the line that is good enough, by the curve that the
    manifest holds and by its own weights; a run that ends again is not interpolated again."""
    out = tmp_path / "run"
    settings = asked_for(
        demo_files,
        "naive",
        **{
            "keep.l2sp": 1e-3,
            "keep.ewc": 1e-3,
            "keep.ewc_structures": 4,
            "keep.interpolate": "auto",
            "keep.interpolate_tolerance": 0.3,
            "drift.structures": ["generated"],
            "drift.count": 4,
        },
    )
    manifest = pestle.finetune(settings, out).to_json()
    found = manifest["interpolation"]
    curve = {entry["coefficient"]: entry for entry in found["curve"]}
    assert list(curve) == pytest.approx([k / 10 for k in range(11)])
    losses = {a: entry["loss"] for a, entry in curve.items()}
    enough = [a for a, loss in losses.items() if loss <= 1.3 * min(losses.values())]
    assert found["chosen"] and found["coefficient"] == min(enough) and 0 < min(enough) < 1
    drifts = [entry["drift"] for entry in curve.values()]
    assert drifts[0] < 1e-6 and drifts == sorted(drifts) and drifts[-1] > 1
    assert len(read_frames([str(out / "ewc.xyz")]).frames) == manifest_count(manifest) == 4

    a, kept, seed0 = found["coefficient"], pestle.load(out), pestle.load("pestle-seed0")
    child = torch.load(out / "checkpoints" / "child.pt", weights_only=True)
    start = {name: p.detach().double() for name, p in seed0.named_parameters()}
    for name, weight in kept.named_parameters():
        expected = (1 - a) * start[name] + a * child[name]
        np.testing.assert_allclose(weight.detach().numpy(), expected.numpy(), atol=1e-10)
    valid = read_frames([demo_files["valid"]]).frames
    errors = pestle.evaluate(str(out), [demo_files["valid"]]).to_json()["all"]
    assert len(valid) and errors["forces_rmse"] == pytest.approx(curve[a]["forces_rmse"], rel=1e-9)
    card = json.loads((out / "model" / "card.json").read_text())
    assert card["interpolation"]["coefficient"] == a
    # What is said of breadth is of the model that was kept, not of the trained child.
    assert manifest["ending"]["breadth"]["drift"] == found["drift"] == curve[a]["drift"]
    assert found["drift"] < 0.95 * drifts[-1]
    assert best_drift(read_results(out))[0] == number(curve[a]["drift"])

    fingerprint = kept.fingerprint()
    again = pestle.finetune(settings, out, resume=True).to_json()
    assert again["interpolation"]["coefficient"] == a
    assert pestle.load(out).fingerprint() == fingerprint


def manifest_count(manifest: dict[str, Any]) -> int:
    """Structures of EWC, as the notes of the plan give them."""
    (note,) = (n for n in manifest["method"]["notes"] if n.startswith("EWC"))
    return int(note.split(" generated structures")[0].split()[-1])


def test_a_run_with_replay_and_low_rank_updates(
    demo_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keepers that go together, mixed by size, at a rate that was probed: EWC asks the target
    head about replayed structures, once, and the adapter file holds the scaled update."""
    seen: list[TrainingData] = []

    def recorded(prepared: Prepared) -> TrainingData:
        seen.append(training_data(prepared))
        return seen[0]

    monkeypatch.setattr(pestle.jobs.finetune.job, "training_data", recorded)
    asked: list[int] = []

    def counted(*arguments: Any) -> list[torch.Tensor]:
        asked.append(1)
        return fisher_diagonal(*arguments)

    monkeypatch.setattr("pestle.training.keepers.ewc.fisher_diagonal", counted)
    out = tmp_path / "run"
    settings = asked_for(
        demo_files,
        "pseudolabel-lora",
        **{
            "train.epochs": 1,
            "train.lr": "auto",
            "replay.count": 12,
            "replay.ratio": "size",
            "keep.l2sp": 1e-3,
            "keep.ewc": 1e-3,
            "keep.ewc_structures": 5,
            "keep.distil": 1.0,
            "keep.interpolate": 0.5,
        },
    )
    manifest = pestle.finetune(settings, out).to_json()
    assert manifest["interpolation"]["coefficient"] == 0.5 and len(asked) == 1
    assert manifest["settings"]["train.lr"]["value"] == manifest["rate_probe"]["rate"]
    n_target = manifest["data"]["summary"]["train"]["n_frames"]
    n_target -= manifest["data"]["summary"]["train"]["n_isolated_atoms"]
    lap = n_target + manifest["replay"]["n_train"]
    assert manifest["plan"]["steps"] == manifest["training"]["steps"] == -(-lap // 5)
    kept, seed0 = pestle.load(out), pestle.load("pestle-seed0")
    (data,) = seen
    assert data.replay is not None and len(data.broad_graphs) == 5
    replayed = [g.positions for g in data.replay.train_graphs]
    for graph in data.broad_graphs:
        assert int(graph.head) == kept.head_index(TARGET_HEAD)
        assert any(torch.equal(graph.positions, other) for other in replayed)
    adapter = load_adapter(out / "model" / "adapter.safetensors", seed0)
    assert adapter.merged().fingerprint() == kept.fingerprint()
    child = torch.load(out / "checkpoints" / "child.pt", weights_only=True)
    named = dict(adapter.named_parameters())
    for name, weight in child.items():
        scale = 0.5 if ".B." in name else 1.0
        if "adapters" in name:
            np.testing.assert_allclose(named[name].detach(), scale * weight, rtol=1e-12)


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"method": "scratch", "keep.interpolate": 0.5}, "keep.interpolate"),
        ({"method": "scratch", "keep.l2sp": 1.0}, "keep.l2sp"),
        ({"method": "naive", "keep.distil": 1.0}, "keep.distil"),
        ({"method": "pseudolabel-lora", "keep.sparse": 0.1}, "keep.sparse"),
        ({"method": "naive", "keep.sparse": 0.1, "train.weight_decay": 0.1}, "keep.sparse"),
    ],
)
def test_a_keeper_that_a_method_cannot_use_is_refused(asked: dict[str, Any], where: str) -> None:
    with pytest.raises(PestleError) as raised:
        require_keepers(build({}, asked))
    assert raised.value.where == where
    require_keepers(build({}, {k: v for k, v in asked.items() if not k.startswith("keep")}))


def test_settings_of_a_keeper_that_is_off_are_named() -> None:
    idle = {"keep.ewc_structures": 5, "keep.interpolate": 0.5, "keep.interpolate_tolerance": 0.2}
    lines = unused_settings(build({}, idle))
    assert [line.split()[0] for line in lines] == [
        "keep.ewc_structures",
        "keep.interpolate_tolerance",
    ]
    used = {**idle, "keep.ewc": 1.0, "keep.interpolate": "auto"}
    assert not unused_settings(build({}, used))


def test_values_out_of_range_are_refused_by_name() -> None:
    for name, value in (("interpolate", 1.2), ("interpolate", "best"), ("sparse", 1.0)):
        with pytest.raises(PestleError, match=rf"keep\.{name}: "):
            build({}, {f"keep.{name}": value})
