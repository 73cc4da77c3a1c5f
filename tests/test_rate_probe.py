"""`train.lr: auto`: the largest rate that does not raise the loss, and a run none the wiser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import pestle
from conftest import DATA
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.jobs.resuming import resume_settings
from pestle.recipes import resolve
from pestle.run_file import build
from pestle.structures.frame import Frame
from pestle.training.rate_probe import RISEN, UPDATES, probe_rates
from report_page import Page
from test_training import make_trainer


def test_the_largest_safe_rate_is_taken_and_nothing_is_left_behind(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """At 10 every weight moves by ten in the first update; at 1e-4 the loss falls; 1e-5 is smaller
    and not tried. Weights, gradients and random numbers are as before."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    random = torch.get_rng_state()
    probe = probe_rates(trainer, (10.0, 1e-4, 1e-5))
    assert probe.rate == 1e-4 and [t.rate for t in probe.trials] == [10.0, 1e-4]
    high, low = probe.trials
    assert not high.safe and max(high.losses) > 10 * RISEN
    assert low.safe and len(low.losses) == UPDATES // 4 and max(low.losses) < 1
    assert "10 did" in probe.reason and str(UPDATES) in probe.reason
    assert torch.equal(random, torch.get_rng_state())
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(before[name], parameter) and parameter.grad is None, name


def test_losses_of_forces_alone_are_watched(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """An energy that is hundreds of eV off falls at a rate that loses the forces, and hides it."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    for graph in trainer.data.train_graphs:
        graph.energy -= 300.0
    probe = probe_rates(trainer, (0.1, 1e-4))
    assert probe.rate == 1e-4


def test_a_loss_that_rises_at_every_rate_is_an_error(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    with pytest.raises(PestleError, match="rises within 12 updates at every learning rate"):
        probe_rates(trainer, (100.0, 10.0))


def test_an_architecture_without_measured_rates_gets_auto() -> None:
    def rate(backend: str, **asked: Any) -> Any:
        found, _ = resolve(
            build({}, {k.replace("__", "."): v for k, v in asked.items()}),
            atoms_learnable=False,
            has_isolated_atoms=False,
            backend=backend,
        )
        return found.train.lr

    assert rate("nequip") == "auto" and rate("mace") == 1e-3
    assert rate("nequip", train__lr=1e-4) == 1e-4 and rate("mace", train__lr="auto") == "auto"
    assert rate("nequip", recipe="paper") == 1e-3


def test_a_probed_run_is_the_one_asked_for_the_rate(tmp_path: Path) -> None:
    """Bit for bit; the number stands in run.yaml, so that a resumed run does not probe again."""
    asked = {
        "foundation": "pestle-seed0",
        "data.train": [str(DATA / "train.xyz")],
        "data.valid": [str(DATA / "valid.xyz")],
        "train.epochs": 1,
        "train.threads": 1,
        "elements": "data",
    }
    probed = pestle.finetune({**asked, "train.lr": "auto"}, tmp_path / "auto")
    probe = probed["rate_probe"]
    assert probed["settings"]["train.lr"]["value"] == probe["rate"]
    assert probed["settings"]["train.lr"]["reason"].startswith("auto: the largest of")
    pestle.finetune({**asked, "train.lr": probe["rate"]}, tmp_path / "number")
    weights = [load_file(tmp_path / n / "model/weights.safetensors") for n in ("auto", "number")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert resume_settings(tmp_path / "auto", {}).train.lr == probe["rate"]
    page = Page((tmp_path / "auto" / "report.html").read_text())
    assert "Learning rates tried" in page.text()
    manifest = json.loads((tmp_path / "number" / "manifest.json").read_text())
    assert manifest["rate_probe"] is None
