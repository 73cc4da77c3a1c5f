"""Keepers of breadth: each formula by hand, nothing at the start, resumed bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import pestle
from conftest import DATA
from pestle.errors import Interrupted, PestleError
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.jobs.resuming import resume_settings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import GraphBatch, make_graph
from pestle.training.keepers.elastic import ElasticWeights, fisher_diagonal
from pestle.training.keepers.l2_start import L2ToStart
from pestle.training.loggers import MetricsFile
from pestle.training.loop import Trainer

ALL = {"keep.l2sp": 1e-3, "keep.ewc": 10.0, "keep.ewc_structures": 4, "keep.sparse": 0.05}


def test_l2_to_the_start_by_hand() -> None:
    """α/2 (0.3² + 0.4²) and its gradient α (w − w⁰)."""
    weights = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    keeper = L2ToStart([weights], 4.0)
    assert float(keeper.penalty()) == 0
    weights.data += torch.tensor([0.3, -0.4])
    penalty = keeper.penalty()
    penalty.backward()
    assert float(penalty) == pytest.approx(2.0 * 0.25)
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx([4 * 0.3, -4 * 0.4])


def test_elastic_weights_by_hand() -> None:
    """λ/2 (2 · 0.3² + 0 · 0.4²): a weight that nothing depends on moves freely."""
    weights = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    keeper = ElasticWeights([weights], [torch.tensor([2.0, 0.0])], 4.0)
    weights.data += torch.tensor([0.3, -0.4])
    penalty = keeper.penalty()
    penalty.backward()
    assert float(penalty) == pytest.approx(2.0 * 2.0 * 0.09)
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx([4 * 2 * 0.3, 0.0])


def graphs_of(frames: list[Frame], model: Foundation) -> list[GraphBatch]:
    body, _ = split_isolated_atoms(frames)
    return [make_graph(f, model.cutoff, index=k) for k, f in enumerate(body[:2])]


def test_fisher_information_is_the_sum_of_squared_derivatives(
    seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Against its definition, every energy and force component differentiated by itself: the mean
    of many samples agrees for the weights of the last readout."""
    model = seed0.copy()
    name, readout = [(n, p) for n, p in model.named_parameters() if "readout" in n][-1]
    for other, parameter in model.named_parameters():
        parameter.requires_grad_(other == name)
    (graph,) = graphs_of(demo_train, model)[:1]
    said = model(graph, training=True)
    n, weights = len(said.forces), {"energy": 10.0, "forces": 10.0}
    exact = torch.zeros_like(readout)

    def add(output: torch.Tensor, weight: float) -> None:
        (gradient,) = torch.autograd.grad(output, [readout], retain_graph=True)
        exact.add_(weight * gradient**2)

    add(said.interaction_energy.sum() / n, weights["energy"])
    for component in said.forces.flatten():
        add(component, weights["forces"] / (3 * n))
    sampled = fisher_diagonal(model, [readout], [graph] * 400, weights, seed=0)[0]
    assert float(sampled.sum()) == pytest.approx(float(exact.sum()), rel=0.15)
    largest = exact.flatten().argmax()
    assert float(sampled.flatten()[largest]) == pytest.approx(
        float(exact.flatten()[largest]), rel=0.25
    )


def asked(**more: Any) -> dict[str, Any]:
    return {
        "foundation": "pestle-seed0",
        "data.train": [str(DATA / "train.xyz")],
        "data.valid": [str(DATA / "valid.xyz")],
        "train.epochs": 2,
        "train.threads": 1,
        "train.lr": 1e-3,
        "elements": "data",
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def test_only_the_chosen_share_of_the_weights_moves(tmp_path: Path) -> None:
    """Five of a hundred, in the averaged weights that are kept, too; all others bit for bit."""
    run = tmp_path / "run"
    pestle.finetune(asked(elements="all", **{"keep.sparse": 0.05, "e0s": "foundation"}), run)
    before = dict(pestle.load("pestle-seed0").named_parameters())
    after = dict(pestle.load(run).named_parameters())
    moved = sum(int((before[n] != after[n]).sum()) for n in before)
    total = sum(p.numel() for p in before.values())
    assert 0.5 * 0.05 * total < moved <= round(0.05 * total)


def test_a_strong_pull_holds_the_model_at_its_start(tmp_path: Path) -> None:
    """With a huge α the weights hardly move, and the start is what the pull is to."""
    drift = {}
    for name, keep in {"free": {}, "l2sp": {"keep.l2sp": 1e4}, "ewc": {"keep.ewc": 1e4}}.items():
        settings = asked(**keep, **{"drift.structures": ["generated"], "drift.count": 6})
        manifest = pestle.finetune(settings, tmp_path / name)
        records = MetricsFile.read(tmp_path / name / "metrics.jsonl")
        drift[name] = records[-1]["drift"][TARGET_HEAD]["forces_rmse"]
        assert manifest["gate"] is not None
    assert drift["l2sp"] < 0.2 * drift["free"] and drift["ewc"] < 0.7 * drift["free"]


def test_resume_equals_no_interruption_with_every_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pestle.finetune(asked(**ALL), whole)
    original = Trainer.step

    def stopped(self: Trainer, *arguments: Any) -> Any:
        if self.counters.step == 14:
            self._stop_requested = "SIGTERM"
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopped)
        with pytest.raises(Interrupted):
            pestle.finetune(asked(**ALL), parts)
    pestle.finetune(resume_settings(parts, {}), parts, resume=True)
    name = "model/weights.safetensors"
    assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_random_weights_keep_nothing(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="hold no breadth"):
        pestle.finetune(asked(method="scratch", **{"keep.l2sp": 1.0}), tmp_path / "run")
