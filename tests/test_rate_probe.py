"""`train.lr: auto`: the largest rate that does not raise the loss, and a run none the wiser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ase.build import molecule
from safetensors.torch import load_file

import nequip_factory
import pestle
from conftest import DATA
from pestle.adaptation import recipe_of
from pestle.adaptation.recipes import resolve
from pestle.errors import Interrupted, PestleError
from pestle.foundations.devices import OutOfMemory
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune.resuming import resume_settings
from pestle.settings.run_file import build
from pestle.structures.frame import Frame
from pestle.structures.writing import write_frames
from pestle.training import rate_probe
from pestle.training.failures import TrainingFailed
from pestle.training.loop import Trainer
from pestle.training.mixing import Draw, Position
from pestle.training.rate_probe import LOOKS, RISEN, UPDATES, probe_rates, reason_of
from report_page import Page
from test_keepers import make_trainer as with_keepers
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
    assert probe.largest == 1e-4 and [t.rate for t in probe.trials] == [10.0, 1e-4]
    assert probe.rate == 3e-5  # a third, in one digit
    high, low = probe.trials
    assert not high.safe and max(high.losses) > 10 * RISEN
    assert low.safe and len(low.losses) == len(LOOKS) and max(low.losses) < 1
    assert (high.updates, low.updates) == (1, UPDATES)
    reason = reason_of(probe)
    assert f"a third of {probe.largest:g}" in reason and "10 did" in reason
    assert f"in {UPDATES} updates" in reason
    assert torch.equal(random, torch.get_rng_state())
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(before[name], parameter) and parameter.grad is None, name


class Valley:
    """An objective with one weight w and the loss c·w². Adam's first update moves w by the rate
    itself, whatever c: the loss rises exactly where the rate is more than 2·w."""

    def __init__(self, w: torch.nn.Parameter, curvature: float = 1.0) -> None:
        self.w, self.curvature = w, curvature

    def __call__(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.curvature * self.w.square().sum()


def valley(folder: Path, foundation: Foundation, frames: list[Frame], start: float) -> Trainer:
    trainer = make_trainer(folder, foundation, frames, train__epochs=1)
    w = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    trainer.parameters = [w]
    trainer.objective = Valley(w)  # type: ignore[assignment]
    return trainer


@pytest.mark.parametrize(
    ("start", "expected"), [(0.02, 1e-2), (1.2e-3, 1e-3), (4e-4, 3e-4), (1.2e-5, 1e-5)]
)
def test_the_rate_is_that_of_a_valley_known_by_hand(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], start: float, expected: float
) -> None:
    """The largest rate of the grid below 2·w; the one above it takes w to the other side, to
    |rate − w|, so that the loss is (rate/w − 1)² times what it was."""
    trainer = valley(tmp_path, seed0, demo_train, start)
    probe = probe_rates(trainer)
    assert probe.largest == expected
    for trial in probe.trials[:-1]:
        assert trial.updates == 1 and not trial.safe
        assert trial.losses == (pytest.approx((trial.rate / start - 1) ** 2, rel=2e-3),)
    assert float(trainer.parameters[0].detach()) == start


def test_a_rise_in_the_first_update_counts_though_the_loss_recovers(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """From 4e-4 the rate 1e-3 makes the loss 2.25 times as large; by the twelfth update it has long
    been below its start, which plain AdamW shows here."""
    w = torch.nn.Parameter(torch.tensor([4e-4], dtype=torch.float64))
    optimizer = torch.optim.AdamW([w], lr=1e-3, weight_decay=0.0, amsgrad=True)
    losses = []
    for _ in range(UPDATES):
        optimizer.zero_grad()
        w.square().sum().backward()
        optimizer.step()
        losses.append(float(w.detach()) ** 2 / 1.6e-7)
    assert losses[0] == pytest.approx(2.25, rel=1e-4) and losses[-1] < 1
    probe = probe_rates(valley(tmp_path, seed0, demo_train, 4e-4))
    (too_large,) = [trial for trial in probe.trials if trial.rate == 1e-3]
    assert not too_large.safe and probe.largest == 3e-4


def test_losses_that_are_no_numbers(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """An absurd rate is given up; a label that is no number is named as training would name it."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    probe = probe_rates(trainer, (1e300, 1e-4))
    assert probe.largest == 1e-4 and not probe.trials[0].safe
    assert probe.trials[0].losses == (math.inf,)
    before = [p.detach().clone() for p in trainer.parameters]
    trainer.data.train_graphs[7].forces[2, 1] = float("nan")
    with pytest.raises(TrainingFailed) as caught:
        probe_rates(trainer)
    assert f"train.xyz frame {trainer.data.train_frames[7].index}" in caught.value.line
    assert caught.value.line.count("frame ") == 1
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))


def test_memory_that_runs_out_is_one_line(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)

    def no_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(trainer, "compute_loss", no_memory)
    with pytest.raises(OutOfMemory, match=r"learning rates.*train\.max_edges"):
        probe_rates(trainer)


def test_losses_of_forces_alone_are_watched(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """An energy that is hundreds of eV off falls at a rate that loses the forces, and hides it."""
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    for graph in trainer.data.train_graphs:
        graph.energy -= 300.0
    probe = probe_rates(trainer, (0.1, 1e-4))
    assert probe.largest == 1e-4


def test_weights_that_stay_in_the_run_stay_in_the_probe(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = with_keepers(tmp_path, seed0, demo_train, keep__sparse=0.05)
    (keeper,) = trainer.keepers
    start = [p.detach().clone() for p in trainer.parameters]
    moved: list[tuple[int, int]] = []
    original = rate_probe._losses

    def looked(*arguments: Any) -> tuple[float, float]:
        pairs = zip(trainer.parameters, start, keeper.masks, strict=True)
        changes = [(p != then, mask) for p, then, mask in pairs]
        free = sum(int((change & mask).sum()) for change, mask in changes)
        held = sum(int((change & ~mask).sum()) for change, mask in changes)
        moved.append((free, held))
        return original(*arguments)

    monkeypatch.setattr(rate_probe, "_losses", looked)
    probe_rates(trainer, (1e-4,))
    assert moved[0] == (0, 0) and all(free > 0 and held == 0 for free, held in moved[1:])


def test_penalties_are_no_part_of_what_is_watched(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    """Their gradient is zero at the start: the first update, and what it does to the frames, is
    that of a run without keepers."""
    plain = probe_rates(with_keepers(tmp_path, seed0, demo_train), (1e-4,))
    held = probe_rates(with_keepers(tmp_path, seed0, demo_train, keep__l2sp=1e8), (1e-4,))
    assert held.trials[0].losses[0] == pytest.approx(plain.trials[0].losses[0], rel=1e-9)


def test_every_draw_that_is_watched_holds_target_frames(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed by size, two target frames among nine replay structures: some draws hold none."""
    trainer = with_keepers(
        tmp_path, seed0, demo_train, "pseudolabel", replay__ratio="size", train__batch_size=1
    )
    seen: list[list[bool]] = []
    original = rate_probe._losses

    def looked(own: Trainer, draws: list[Draw]) -> tuple[float, float]:
        seen.append([draw.target is not None for draw in draws])
        return original(own, draws)

    monkeypatch.setattr(rate_probe, "_losses", looked)
    first = [trainer.mixture.draw(Position(place=k, update=k))[0].target for k in range(4)]
    assert any(target is None for target in first)
    probe_rates(trainer, (1e-4,))
    assert all(all(one) and len(one) == 4 for one in seen)


def test_a_loss_that_rises_at_every_rate_is_an_error(
    tmp_path: Path, seed0: Foundation, demo_train: list[Frame]
) -> None:
    trainer = make_trainer(tmp_path, seed0, demo_train, train__epochs=1)
    with pytest.raises(PestleError, match=r"12 updates .*\b10\b") as refused:
        probe_rates(trainer, (100.0, 10.0))
    assert refused.value.where == "train.lr"


def test_an_architecture_without_measured_rates_gets_auto() -> None:
    def resolved(backend: str, **asked: Any) -> Any:
        settings = build({}, {k.replace("__", "."): v for k, v in asked.items()})
        return resolve(
            settings,
            recipe_of(settings),
            atoms_learnable=False,
            has_isolated_atoms=False,
            backend=backend,
        )

    def rate(backend: str, **asked: Any) -> Any:
        return resolved(backend, **asked)[0].train.lr

    assert rate("nequip") == "auto" and rate("mace") == 1e-3
    assert rate("nequip", train__lr=1e-4) == 1e-4 and rate("mace", train__lr="auto") == "auto"
    assert rate("nequip", recipe="paper") == 1e-3
    # Weights of replay were measured on MACE alone; others have the paper's.
    for backend, weight in (("mace", 3.0), ("nequip", 10.0)):
        assert resolved(backend, method="pseudolabel")[0].replay.forces == weight
    # A run file holds the number that the probe found: no reason of Table 7 is said of it.
    assert "train.lr" not in resolved("nequip", train__lr=1e-3)[1]
    assert "Table 7" in resolved("mace", train__lr=1e-3)[1]["train.lr"]


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
    probed = pestle.finetune({**asked, "train.lr": "auto"}, tmp_path / "auto").to_json()
    probe = probed["rate_probe"]
    assert probed["settings"]["train.lr"]["value"] == probe["rate"]
    assert probed["settings"]["train.lr"]["reason"].startswith("auto: a third of ")
    pestle.finetune({**asked, "train.lr": probe["rate"]}, tmp_path / "number")
    weights = [load_file(tmp_path / n / "model/weights.safetensors") for n in ("auto", "number")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert resume_settings(tmp_path / "auto", {}).train.lr == probe["rate"]
    page = Page((tmp_path / "auto" / "report.html").read_text())
    assert "Learning rates tried" in page.text()
    manifest = json.loads((tmp_path / "number" / "manifest.json").read_text())
    assert manifest["rate_probe"] is None


def test_a_stopped_run_goes_on_with_the_rate_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NequIP-type model, which gets `auto` unasked: no second probe, and the same end bit for
    bit, with the reason and the curve of the first."""
    nequip_factory.foundation().save(tmp_path / "foundation")
    frames = []
    for k in range(8):
        atoms = molecule(("CH3OH", "CH3Cl", "H2O")[k % 3])
        atoms.rattle(0.05, seed=k)
        frames.append(Frame(atoms, source="made", index=k))
    said = predict_frames(pestle.load(tmp_path / "foundation"), frames)
    for k, (frame, prediction) in enumerate(zip(frames, said, strict=True)):
        frame.energy = prediction.energy + 0.3 * k
        frame.forces = 1.1 * prediction.forces
    write_frames(tmp_path / "train.xyz", frames[:6])
    write_frames(tmp_path / "valid.xyz", frames[6:])
    settings = {
        "foundation": str(tmp_path / "foundation"),
        "data.train": str(tmp_path / "train.xyz"),
        "data.valid": str(tmp_path / "valid.xyz"),
        "train.epochs": 2,
        "train.eval_interval": 1,
        "train.threads": 1,
    }
    whole = pestle.finetune(settings, tmp_path / "whole").to_json()
    original = Trainer._record

    def stop_after(trainer: Trainer, *arguments: Any) -> None:
        original(trainer, *arguments)
        if trainer.counters.step == 2:
            trainer.stop.received = "SIGTERM"

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_record", stop_after)
        with pytest.raises(Interrupted):
            pestle.finetune(settings, tmp_path / "parts")
    monkeypatch.setattr(
        "pestle.jobs.finetune.first_updates.probe_rates", lambda *_: pytest.fail("again")
    )
    resumed = resume_settings(tmp_path / "parts", {})
    parts = pestle.finetune(resumed, tmp_path / "parts", resume=True).to_json()
    assert parts["rate_probe"]["trials"] == list_of(whole["rate_probe"]["trials"])
    assert parts["settings"]["train.lr"] == whole["settings"]["train.lr"]
    assert whole["settings"]["train.lr"]["reason"].startswith("auto: a third of ")
    weights = [tmp_path / n / "model" / "weights.safetensors" for n in ("whole", "parts")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    log = (tmp_path / "whole" / "log.txt").read_text()
    spent = sum(trial["updates"] for trial in whole["rate_probe"]["trials"])
    assert f"were tried in {spent} updates" in log


def list_of(trials: Any) -> Any:
    """As JSON has them."""
    return json.loads(json.dumps(trials))
