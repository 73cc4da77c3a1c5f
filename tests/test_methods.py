"""Every method: the foundation at step zero, the right weights trained, a run that can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mace.calculators import MACECalculator

import pestle
from pestle.adaptation import METHODS, Case, method_of
from pestle.adaptation.adapter_file import load_adapter
from pestle.errors import Interrupted, PestleError
from pestle.foundations import load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune.resuming import resume_settings
from pestle.settings.run_file import from_names
from pestle.settings.training import TrainSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from pestle.training.gate import Stage, zero_step_gate

FROM_THE_FOUNDATION = [name for name, m in METHODS.items() if m.keeps_foundation]


def adapted(method: str, foundation: Foundation, frames: list[Frame]) -> Any:
    """A method's adaptation, with the E0s of the data in the target head."""
    body, atoms = split_isolated_atoms(frames)
    e0s = {int(f.numbers[0]): float(f.energy or 0) for f in atoms}
    start = foundation.with_reference_energies(TARGET_HEAD, e0s)
    settings = from_names({"method": method})
    case = Case(start, TARGET_HEAD, body, settings, foundation.reference_energies[TARGET_HEAD])
    return METHODS[method].adapt(case)


def test_a_method_is_looked_up_by_its_name() -> None:
    """The nearest is suggested, and all are listed; a model of random weights keeps nothing."""
    with pytest.raises(PestleError, match=r"'multi-head'.*Did you mean 'multihead'.*auto.*naive"):
        method_of(from_names({"method": "multi-head"}))
    assert all(not (m.from_scratch and m.keeps_foundation) for m in METHODS.values())


@pytest.mark.parametrize("method", FROM_THE_FOUNDATION)
def test_step_zero_is_the_foundation(
    seed0: Foundation, demo_train: list[Frame], method: str
) -> None:
    """Forces equal and energies up to the shift of the E0s, to rounding in float64; for methods
    with replay the second head is the foundation, E0s included."""
    adaptation = adapted(method, seed0, demo_train)
    body, _ = split_isolated_atoms(demo_train)
    stages = [Stage("the foundation", seed0, TARGET_HEAD)]
    target = Stage(method, adaptation.model, TARGET_HEAD)
    settings = TrainSettings(gate_frames=6)
    result = zero_step_gate(body, [*stages, target], settings)
    assert result.forces < 1e-10 and result.energy < 1e-10
    assert adaptation.model.heads[-1] == TARGET_HEAD
    if METHODS[method].replay_labels is None:
        assert adaptation.model.heads == (TARGET_HEAD,)
        return
    old = predict_frames(seed0, body[:4])
    new = predict_frames(adaptation.model, body[:4], head=REPLAY_HEAD)
    for a, b in zip(old, new, strict=True):
        assert b.energy == pytest.approx(a.energy, abs=1e-9)
        np.testing.assert_allclose(b.forces, a.forces, atol=1e-10)


@pytest.mark.parametrize("method", FROM_THE_FOUNDATION)
def test_trained_are_real_parameters_and_each_has_a_gradient(
    seed0: Foundation, demo_train: list[Frame], method: str
) -> None:
    adaptation = adapted(method, seed0, demo_train)
    named = dict(adaptation.model.named_parameters())
    assert adaptation.trainable and set(adaptation.trainable) <= set(named)
    share = sum(named[n].numel() for n in adaptation.trainable) / sum(
        p.numel() for p in named.values()
    )
    everything = method in ("naive", "multihead", "pseudolabel")
    assert (share == 1.0) if everything else (0 < share < 0.9)


# -- whole runs -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ten embedded frames with their atoms, five to validate, and a labelled replay pool."""
    folder = tmp_path_factory.mktemp("few")
    data = Path(pestle.__file__).parent / "demo" / "data"
    body, atoms = split_isolated_atoms(read_frames([str(data / "train.xyz")]).frames)
    write_frames(folder / "train.xyz", body[:10] + atoms)
    write_frames(folder / "valid.xyz", body[10:15])
    seed0 = load_foundation("pestle-seed0", dtype=torch.float64)
    pool = body[20:40]
    for frame, made in zip(pool, predict_frames(seed0, pool), strict=True):
        frame.energy, frame.forces = made.energy, made.forces
    write_frames(folder / "pool.xyz", pool)
    return {name: str(folder / f"{name}.xyz") for name in ("train", "valid", "pool")}


def settings_for(few: dict[str, str], method: str, **more: Any) -> dict[str, Any]:
    settings = {
        "foundation": "pestle-seed0",
        "data.train": few["train"],
        "data.valid": few["valid"],
        "method": method,
        "train.epochs": 2,
        "train.threads": 1,
    }
    return settings | {name.replace("__", "."): value for name, value in more.items()}


def test_replay_with_lora_gives_files_that_can_be_used(few: dict[str, str], tmp_path: Path) -> None:
    """The single-head and the two-head file agree with the model in MACECalculator, the target head
    is the default; the adapter alone gives the model back on its foundation."""
    out = tmp_path / "run"
    settings = settings_for(few, "multihead-lora", replay__pool=[few["pool"]], train__lr=1e-2)
    manifest = pestle.finetune(settings, out).to_json()
    model = pestle.load(out)
    assert model.heads == (REPLAY_HEAD, TARGET_HEAD)
    frames = read_frames([few["valid"]]).frames
    own = {head: predict_frames(model, frames[:1], head=head)[0] for head in model.heads}
    assert own[TARGET_HEAD].energy != pytest.approx(own[REPLAY_HEAD].energy, abs=100)
    for name, head in (("pestle", None), ("pestle-heads", None), ("pestle-heads", REPLAY_HEAD)):
        chosen = {} if head is None else {"head": head}
        calculator = MACECalculator(
            model_paths=str(out / "model" / f"{name}.model"),
            device="cpu",
            default_dtype="float64",
            **chosen,
        )
        atoms = frames[0].atoms.copy()
        atoms.calc = calculator
        expected = own[head or TARGET_HEAD]
        assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-8)
    adapter = load_adapter(out / "model" / "adapter.safetensors", pestle.load("pestle-seed0"))
    again = predict_frames(adapter.merged(), frames[:1], head=TARGET_HEAD)[0]
    assert again.energy == own[TARGET_HEAD].energy
    np.testing.assert_array_equal(again.forces, own[TARGET_HEAD].forces)
    path = str(out / "model" / "adapter.safetensors")
    of_adapter = pestle.evaluate(path, [few["valid"]], foundation="pestle-seed0").to_json()
    assert of_adapter == pestle.evaluate(str(out), [few["valid"]]).to_json()
    with pytest.raises(PestleError, match="belongs to pestle-seed0"):
        pestle.evaluate(path, [few["valid"]], foundation=str(out))
    with pytest.raises(PestleError, match="needs its foundation"):
        pestle.load(path)
    assert manifest["replay"]["labels"] == "the pool's own"
    assert set(manifest["errors"]["replay"]) == {"foundation", "fine-tuned"}
    assert manifest["errors"]["replay"]["foundation"]["all"]["forces_rmse"] < 1e-6
    # Without --head, evaluate takes the target head.
    result = pestle.evaluate(str(out), [few["valid"]]).to_json()
    best = min(json.loads(line)["valid"]["loss"] for line in (out / "metrics.jsonl").open())
    assert manifest["training"]["best_value"] == best
    valid = manifest["errors"]["valid"]["fine-tuned"]["all"]
    assert result["all"]["forces_rmse"] == pytest.approx(valid["forces_rmse"], rel=1e-9)


def test_pseudolabels_from_generated_structures_alone(few: dict[str, str], tmp_path: Path) -> None:
    """`auto` with a broad scope needs no replay data: labels are the foundation's own, drift is
    watched."""
    out = tmp_path / "run"
    settings = settings_for(
        few, "auto", scope="broad", replay__count=12, train__max_drift=1e4, drift__count=5
    )
    settings["data.train"] = few["train"]
    manifest = pestle.finetune(settings, out).to_json()
    assert manifest["method"]["name"] == "pseudolabel-lora"  # ten frames are few
    assert any("10 training frames" in reason for reason in manifest["method"]["choice"]["reasons"])
    replayed = read_frames([str(out / "replay" / "train.xyz")]).frames
    seed0 = load_foundation("pestle-seed0", dtype=torch.float64)
    for frame, made in zip(replayed, predict_frames(seed0, replayed), strict=True):
        assert frame.energy == pytest.approx(made.energy, abs=1e-7)
        np.testing.assert_allclose(frame.forces, made.forces, atol=1e-7)
    records = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    assert records[0]["drift"][TARGET_HEAD]["forces_rmse"] < 1e-6
    assert records[-1]["drift"][REPLAY_HEAD]["forces_rmse"] > 1e-6
    assert records[0]["replay"]["forces_rmse"] < 1e-4
    text = (out / "report.html").read_text()
    assert "drift" in text.lower() and "replay" in text.lower()


def test_a_resumed_replay_run_is_the_uninterrupted_one(
    few: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first epoch and resumed from another folder, without the pool: the same
    weights bit for bit, and the manifest still says what the replay set was."""
    pool = tmp_path / "pool.xyz"
    pool.write_bytes(Path(few["pool"]).read_bytes())
    monkeypatch.chdir(tmp_path)
    settings = settings_for(few, "pseudolabel", replay__pool=["pool.xyz"], train__max_drift=1e4)
    settings |= {"drift.structures": ["pool.xyz"], "drift.count": 4, "train.lr": 1e-3}
    pestle.finetune(settings, tmp_path / "whole")
    from pestle.training.loop import Trainer

    original = Trainer._record

    def stop_after(trainer: Trainer, *arguments: Any) -> None:
        original(trainer, *arguments)
        if trainer.counters.step >= trainer.budget.per_epoch:
            trainer.stop.received = "SIGTERM"

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_record", stop_after)
        with pytest.raises(Interrupted):
            pestle.finetune(settings, tmp_path / "parts")
    pool.unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    begun = json.loads((tmp_path / "parts" / "manifest.json").read_text())
    resumed = pestle.finetune(
        resume_settings(tmp_path / "parts", {}), tmp_path / "parts", resume=True
    ).to_json()
    assert resumed["replay"] == begun["replay"] and resumed["replay"]["files"]
    weights = [(tmp_path / n / "model" / "weights.safetensors") for n in ("whole", "parts")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert resumed["training"]["steps"] == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"method": "multihead"}, "replay.pool"),
        ({"method": "auto"}, "scope"),
        ({"train.best_head": "pt_head"}, "no replay head"),
        ({"method": "pseudolabel", "train.best_head": "pt_head"}, "max_drift"),
        ({"method": "scratch", "train.max_drift": 10.0}, "drift"),
        ({"method": "pseudolabel", "replay.pool": ["missing.xyz"]}, "missing.xyz"),
    ],
)
def test_what_cannot_work_never_starts(
    few: dict[str, str], tmp_path: Path, names: dict[str, Any], message: str
) -> None:
    settings = settings_for(few, "naive") | names
    with pytest.raises(PestleError) as caught:
        pestle.finetune(settings, tmp_path / "run")
    assert message in caught.value.line
    assert not (tmp_path / "run").exists()


def test_settings_that_a_method_ignores_are_named(few: dict[str, str], tmp_path: Path) -> None:
    settings = settings_for(few, "naive", lora__rank=8, replay__ratio=2.0, drift__count=3)
    manifest = pestle.finetune(settings, tmp_path / "run", dry_run=True).to_json()
    said = " ".join(manifest["warnings"])
    assert "lora.rank is set" in said and "replay.ratio is set" in said
    assert "drift.count is set" in said
