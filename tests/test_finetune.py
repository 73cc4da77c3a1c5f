"""The whole way on the embedded data: folders, files, repeatability, and what refuses to start."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from safetensors.torch import load_file

import pestle
from pestle.errors import Interrupted, PestleError
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune import train_and_judge
from pestle.jobs.finetune.resuming import resume_settings
from pestle.metrics import errors_by_group
from pestle.structures.reading import read_frames
from run_files import evaluations

RUN_FILES = [
    "run.yaml",
    "manifest.json",
    "metrics.jsonl",
    "log.txt",
    "report.html",
    "checkpoints/last.pt",
    "model/weights.safetensors",
    "model/architecture.json",
    "model/card.json",
    "model/pestle.model",
    "protocols/errors/metrics.json",
    "protocols/errors/charts.json",
]


def asked(files: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "foundation": "pestle-seed0",
        "data.train": [files["train"]],
        "data.valid": [files["valid"]],
        "data.test": [files["test"]],
        "train.epochs": 2,
        "train.threads": 1,
        **more,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One short naive run that several tests look at."""
    from conftest import DATA

    files = {name: str(DATA / f"{name}.xyz") for name in ("train", "valid", "test")}
    out = tmp_path_factory.mktemp("runs") / "naive"
    return out, pestle.finetune(asked(files), out, command="pestle finetune …").to_json()


def test_run_folder_is_complete(run: tuple[Path, dict[str, Any]]) -> None:
    out, manifest = run
    for name in RUN_FILES:
        assert (out / name).stat().st_size > 0, name
    assert not list(out.rglob("*.part"))
    assert manifest["status"] == "finished"
    assert json.loads((out / "manifest.json").read_text())["versions"]["mace-torch"] == "0.3.16"
    card = json.loads((out / "model" / "card.json").read_text())
    assert card["licence"] == "MIT" and card["method"] == "naive"
    assert len(card["data"]["train"][0]["sha256"]) == 64
    assert card["errors"]["test"]["n_frames"] == 60
    assert [r["epoch"] for r in evaluations(out / "metrics.jsonl")] == [0, 1, 2]


def test_mace_calculator_gives_the_same_numbers(run: tuple[Path, dict[str, Any]]) -> None:
    """`pestle.model` with no other argument, against Pestle's own prediction; total energies of
    −16,000 eV must not have lost a hundredth of a millielectronvolt per atom."""
    from mace.calculators import MACECalculator

    from conftest import DATA

    out, _ = run
    atoms = ase.io.read(DATA / "test.xyz", index=3)
    frame = read_frames([str(DATA / "test.xyz")]).frames[3]
    model = pestle.load(out)
    (ours,) = predict_frames(model, [frame])
    atoms.calc = MACECalculator(model_paths=str(out / "model" / "pestle.model"), device="cpu")
    assert atoms.get_potential_energy() == pytest.approx(ours.energy, abs=1e-5 * len(atoms))
    assert atoms.get_forces() == pytest.approx(ours.forces, abs=1e-7)
    atoms.calc = model.calculator()
    assert atoms.get_potential_energy() == pytest.approx(ours.energy, abs=1e-9)
    assert atoms.get_forces() == pytest.approx(ours.forces, abs=1e-10)


def test_evaluate_agrees_with_the_run(run: tuple[Path, dict[str, Any]], demo_files: dict) -> None:
    out, manifest = run
    errors = pestle.evaluate(str(out), [demo_files["test"]]).to_json()
    assert list(errors) == ["all", "reactant_complex", "product_complex"]
    reported = manifest["errors"]["test"]["fine-tuned"]
    for group, values in errors.items():
        for name, value in values.items():
            expected = reported[group][name]
            assert (value is None) == (expected is None), (group, name)
            assert value is None or value == pytest.approx(expected, rel=1e-9), (group, name)
    exported = pestle.evaluate(
        str(out / "model" / "pestle.model"), [demo_files["test"]], trust=True
    ).to_json()
    assert exported["all"]["forces_rmse"] == pytest.approx(errors["all"]["forces_rmse"], rel=1e-9)


def test_errors_of_the_manifest_are_those_of_plain_predictions(
    run: tuple[Path, dict[str, Any]], demo_files: dict[str, str]
) -> None:
    """Best model and foundation, the latter with the run's E0s, by `errors_by_group` directly."""
    out, manifest = run
    tuned = pestle.load(out)
    foundation = pestle.load("pestle-seed0").with_dtype(tuned.dtype)
    foundation = foundation.with_reference_energies("Default", tuned.reference_energies["Default"])
    for name in ("test", "valid"):
        frames = read_frames([demo_files[name]]).frames
        for called, model in (("fine-tuned", tuned), ("foundation", foundation)):
            expected = errors_by_group(frames, predict_frames(model, frames))
            found = manifest["errors"][name][called]
            assert found.keys() == expected.keys()
            for group, errors in expected.items():
                for key, value in errors.model_dump().items():
                    wanted = None if value is None else pytest.approx(value, rel=1e-9)
                    assert found[group][key] == wanted, (name, called, group, key)
    written = json.loads((out / "protocols" / "errors" / "metrics.json").read_text())
    assert written["sets"] == manifest["errors"] and written["held_out"] == ["test", "valid"]
    assert written["labels"]["foundation"] == "foundation (with the E0s of this run)"
    charts = json.loads((out / "protocols" / "errors" / "charts.json").read_text())
    assert [c["kind"] for c in charts] == ["violin"] * 2 + ["points"] * 6


def test_rerunning_run_yaml_repeats_the_run(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = run
    tree = yaml.safe_load((out / "run.yaml").read_text())
    from pestle.settings.run_file import build

    pestle.finetune(build(tree), tmp_path / "again")
    name = "model/weights.safetensors"
    first, second = load_file(out / name), load_file(tmp_path / "again" / name)
    assert first.keys() == second.keys()
    assert all((first[k] == second[k]).all() for k in first)


def test_dry_run_writes_nothing(demo_files: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "dry"
    plan = pestle.finetune(asked(demo_files), out, dry_run=True).to_json()
    assert not out.exists()
    assert plan["plan"]["steps_per_epoch"] == 12 and plan["plan"]["steps"] == 24
    assert plan["plan"]["seconds_per_step"] > 0 and plan["plan"]["memory_mib"] > 0
    assert plan["method"]["n_trainable"] == plan["method"]["n_parameters"] == 517_248
    assert plan["reference_energies"]["method"] == "isolated"
    assert all(entry["reason"] for entry in plan["settings"].values())


def test_a_run_is_never_written_over(run: tuple[Path, dict[str, Any]], demo_files: dict) -> None:
    out, _ = run
    with pytest.raises(PestleError, match="holds a run already"):
        pestle.finetune(asked(demo_files), out)


def test_scratch_has_random_weights_and_its_own_e0s(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "scratch"
    manifest = pestle.finetune(asked(demo_files, method="scratch"), out).to_json()
    assert manifest["gate"] is None
    assert manifest["settings"]["train.lr"]["value"] == 1e-2
    assert manifest["reference_energies"]["method"] == "isolated"
    architecture = json.loads((out / "model" / "architecture.json").read_text())
    assert "Agnesi" not in json.dumps(architecture)


def test_element_subset_survives_the_whole_way(demo_files: dict, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    manifest = pestle.finetune(
        asked(demo_files, elements="data", **{"train.epochs": 1}), out
    ).to_json()
    assert pestle.load(out).elements == (1, 6, 9, 17)
    assert manifest["method"]["n_parameters"] < 100_000 or manifest["method"]["notes"]
    assert manifest["gate"]["forces"] < 1e-6


def test_isolated_atoms_given_as_points_enter_every_epoch(demo_files: dict[str, str]) -> None:
    """Three times each, at a hundred times the weight, and counted in the steps."""
    from pestle.jobs.finetune.preparation import prepare
    from pestle.jobs.finetune.training_graphs import training_data
    from pestle.settings.run_file import from_names

    more = {"data.isolated_atom_repeats": 3, "data.isolated_atom_weight": 100.0}
    prepared = prepare(from_names(asked(demo_files, **more)), torch.device("cpu"))
    data = training_data(prepared)
    weights = [float(g.energy_weight) for g in data.train_graphs]
    assert weights == [1.0] * 60 + [100.0] * 12
    assert [len(f) for f in data.train_frames[60:]] == [1] * 12


def test_resume_finds_local_files_from_another_folder(
    demo_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foundation and E0 file given by relative paths."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    pestle.load("pestle-seed0").save(Path("local"))
    table = {"H": -13.6, "C": -1026.9, "F": -2707.5, "Cl": -12505.1}
    Path("e0s.json").write_text(json.dumps(table))
    names = asked(demo_files, foundation="local", e0s="e0s.json", **{"train.epochs": 1})
    pestle.finetune(names, "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    from pestle.jobs.finetune.resuming import resume_settings

    manifest = pestle.finetune(resume_settings(Path("../run"), {}), "../run", resume=True).to_json()
    assert manifest["status"] == "finished"
    assert manifest["reference_energies"]["e0s"]["F"] == -2707.5


def test_the_fine_tuned_model_has_its_own_identity(run: tuple[Path, dict[str, Any]]) -> None:
    out, manifest = run
    tuned, foundation = pestle.load(out), pestle.load("pestle-seed0")
    assert manifest["foundation"]["fingerprint"] == foundation.fingerprint()
    assert tuned.fingerprint() != foundation.fingerprint()
    assert tuned.provenance.name == "pestle-seed0-naive"
    assert tuned.provenance.licence == foundation.provenance.licence
    assert "OMat24" not in tuned.level_of_theory
    assert foundation.fingerprint() in " ".join(tuned.provenance.notes)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data.valid": ["unlabelled.xyz"]}, "no validation frame"),
        ({"data.valid": ["atoms.xyz"]}, "no validation frame"),
        ({"train.best_metric": "stress_rmse"}, "stress"),
        ({"data.isolated_atom_repeats": 2, "data.train": ["bare.xyz"]}, "isolated_atom_repeats"),
        ({"method": "scratch", "e0s": "reestimate"}, "from scratch"),
    ],
)
def test_what_cannot_work_never_starts(
    demo_files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = ase.io.read(demo_files["train"], index=":")
    bare = [f.copy() for f in ase.io.read(demo_files["valid"], index=":3")]
    for atoms in bare:
        atoms.info.pop("REF_energy")
        del atoms.arrays["REF_forces"]
    ase.io.write("unlabelled.xyz", bare, format="extxyz")
    ase.io.write("atoms.xyz", frames[:4], format="extxyz")
    ase.io.write("bare.xyz", frames[4:12], format="extxyz")
    with pytest.raises(PestleError, match=message):
        pestle.finetune(asked(demo_files, **more), "run")
    assert not Path("run").exists()


def test_a_broken_adaptation_is_stopped_by_the_gate(
    demo_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pestle.adaptation import METHODS, Adaptation

    naive = METHODS["naive"]

    def broken(case: Any) -> Adaptation:
        adaptation = naive.adapt(case)
        with torch.no_grad():
            next(adaptation.model.parameters()).mul_(1.001)
        return adaptation

    monkeypatch.setitem(METHODS, "naive", replace(naive, adapt=broken))
    for dry_run in (True, False):
        with pytest.raises(PestleError, match="the method naive changed"):
            pestle.finetune(asked(demo_files), tmp_path / "run", dry_run=dry_run)
    assert not (tmp_path / "run").exists()


def test_periodic_frames_with_stress_go_the_whole_way(tmp_path: Path) -> None:
    """EMT labels of copper: the stress is trained on, evaluated and reported; one frame without."""
    frames = []
    for seed in range(10):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * (1 + 0.01 * (seed - 5)), scale_atoms=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.info |= {"REF_energy": atoms.get_potential_energy()}
        if seed:
            atoms.info["REF_stress"] = atoms.get_stress()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
        frames.append(atoms)
    ase.io.write(tmp_path / "cu.xyz", frames, format="extxyz")
    manifest = pestle.finetune(
        {
            "foundation": "pestle-seed0",
            "data.train": [str(tmp_path / "cu.xyz")],
            "data.valid_fraction": 0.3,
            "elements": "data",
            "loss.stress": 1000.0,
            "train.epochs": 4,
            "train.max_edges": 500,
            "train.threads": 1,
        },
        tmp_path / "run",
    ).to_json()
    errors = manifest["errors"]["valid"]
    tuned, before = errors["fine-tuned"]["all"], errors["foundation"]["all"]
    assert tuned["stress_rmse"] < before["stress_rmse"]
    assert manifest["reference_energies"]["method"] == "reestimate"
    assert manifest["gate"]["stress"] < 1e-8


def test_demo_judges_the_fine_tuned_model_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs, and of the tests those that take no minutes."""
    from pestle.demo import run as demo

    monkeypatch.setattr(demo, "EPOCHS", 2)
    monkeypatch.setattr(demo, "SHOWN_TOO", ("dimers",))
    quick = {"neb.method": "path", "dimers.points": 20}
    monkeypatch.setattr(demo, "qualify", partial(demo.qualify, leave_out=["md"], settings=quick))
    result = demo.run_demo(tmp_path / "demo").to_json()
    assert Path(result["report"]).stat().st_size > 1e6
    assert result["scope"] == "narrow" and result["others"] == ["scratch"]
    assert (result["candidate"], result["baseline"]) == ("naive", "pestle-seed1")
    run = tmp_path / "demo" / "naive"
    assert json.loads((run / "verdict.json").read_text())["sentence"] == result["sentence"]
    errors = json.loads((run / "protocols" / "errors" / "metrics.json").read_text())
    assert set(errors["sets"]["test"]) == {"naive", "pestle-seed1", "scratch"}
    (profile, *_) = json.loads((run / "protocols" / "neb" / "charts.json").read_text())
    (mp2,) = [s for s in profile["series"] if s["name"] == "reference"]
    assert len(mp2["y"]) == 11 and max(mp2["y"]) == pytest.approx(0.2615, abs=1e-3)
    with pytest.raises(PestleError, match="is not empty"):
        demo.run_demo(tmp_path / "demo")


def test_ctrl_c_and_resume_from_the_command_line(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    """A real interrupt of a real process: exit 130, a checkpoint, and the same end as without."""
    out = tmp_path / "interrupted"
    command = [sys.executable, "-m", "pestle", "finetune", "-f", "pestle-seed0", "-o", str(out)]
    command += ["--data", demo_files["train"], "--valid", demo_files["valid"]]
    command += ["--set", "train.epochs=3", "--set", "train.threads=1", "--verbose"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(r"update +\d+/36  epoch +1 ", line):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait(timeout=120) == 130, rest
    assert f"pestle finetune --resume -o {out}" in rest
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    resume = [sys.executable, "-m", "pestle", "finetune", "--resume", "-o", str(out)]
    done = subprocess.run(resume, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    straight = tmp_path / "straight"
    names = {"train.epochs": 3, "data.test": []}
    pestle.finetune(asked(demo_files, **names), straight)
    name = "model/weights.safetensors"
    first, second = load_file(out / name), load_file(straight / name)
    assert all((first[k] == second[k]).all() for k in first)
    metrics = [evaluations(folder / "metrics.jsonl") for folder in (out, straight)]
    assert [r["valid"] for r in metrics[0]] == [r["valid"] for r in metrics[1]]


def test_a_finished_run_goes_on_with_a_longer_budget(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    """One epoch and then one more is the run of two, bit for bit; the manifest tells the change.
    What would make it another run is refused."""
    short, straight = tmp_path / "short", tmp_path / "straight"
    length = {"train.eval_interval": 1, "data.test": []}
    pestle.finetune(asked(demo_files, **{**length, "train.epochs": 1}), short)
    begun = json.loads((short / "manifest.json").read_text())
    assert not begun["training"]["convergence"]["converged"] and begun["changes"] == []
    card = json.loads((short / "model" / "card.json").read_text())
    assert card["convergence"] == begun["training"]["convergence"]
    with pytest.raises(PestleError, match="cannot change") as refused:
        resume_settings(short, {"train.batch_size": 3})
    assert refused.value.where == "train.batch_size"
    with pytest.raises(PestleError, match="has done 12 updates already"):
        resume_settings(short, {"train.updates": 6})
    with pytest.raises(PestleError, match="before its first update") as refused:
        resume_settings(short, {"train.lr": "auto"})
    assert refused.value.where == "train.lr"
    longer = resume_settings(short, {"train.updates": 24})
    assert (longer.train.updates, longer.train.epochs) == (24, None)
    manifest = pestle.finetune(longer, short, resume=True).to_json()
    pestle.finetune(asked(demo_files, **{**length, "train.epochs": 2}), straight)
    name = "model/weights.safetensors"
    first, second = load_file(short / name), load_file(straight / name)
    assert all((first[k] == second[k]).all() for k in first)
    assert manifest["training"]["steps"] == 24 and manifest["started"] == begun["started"]
    made = {c["setting"]: (c["from"], c["to"], c["after_update"]) for c in manifest["changes"]}
    assert made == {"train.updates": (None, 24, 12), "train.epochs": (1, None, 12)}
    # Resumed once more without a word, it keeps the longer budget.
    assert resume_settings(short, {}).train.updates == 24


def test_a_resumed_run_says_from_where_it_goes_on(
    demo_files: dict[str, str], tmp_path: Path, capsys, monkeypatch
) -> None:
    """Finished: this first, and no plan. Longer: from which update. Interrupted while it is
    judged: the command that goes on, and the same model."""

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt  # what SIGINT does, also where it is ignored

    out = tmp_path / "run"
    names = {"train.epochs": 1, "train.eval_interval": 1, "data.test": []}
    with monkeypatch.context() as patch:
        patch.setattr(train_and_judge, "judge", stopped)
        with pytest.raises(Interrupted, match=rf"pestle finetune --resume -o {out}"):
            pestle.finetune(asked(demo_files, **names), out)
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    trained = load_file(out / "model" / "weights.safetensors")
    pestle.finetune(resume_settings(out, {}), out, resume=True)
    after = load_file(out / "model" / "weights.safetensors")
    assert all((trained[k] == after[k]).all() for k in trained)

    capsys.readouterr()
    pestle.finetune(resume_settings(out, {}), out, resume=True)
    said = capsys.readouterr().err
    assert said.startswith("finished already at update 12 ")
    assert f"pestle finetune --resume -o {out} --set train.updates=24" in said
    assert "zero-step" not in said.lower() and "\nlength" not in said

    longer = resume_settings(out, {"train.updates": 20})
    run = pestle.finetune(longer, out, resume=True)
    said = capsys.readouterr().err
    assert "going on from update 12 of 20 (epoch 1)" in said and "for the 8 updates left" in said
    plan = run.manifest.plan
    assert plan.updates_done == 12
    # 8 updates are left; their evaluations take less than an update per batch.
    assert plan.estimated_seconds < 20 * plan.seconds_per_step


def test_float32_network_still_reports_right_totals(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "single"
    manifest = pestle.finetune(asked(demo_files, **{"train.dtype": "float32"}), out).to_json()
    model = pestle.load(out)
    assert str(model.dtype) == "torch.float32"
    assert model.reference_energies["Default"][17] < -12_000
    errors = manifest["errors"]["test"]["fine-tuned"]["all"]
    exported = pestle.evaluate(
        str(out / "model" / "pestle.model"), [demo_files["test"]], trust=True
    ).to_json()
    assert exported["all"]["energy_mae"] == pytest.approx(errors["energy_mae"], abs=0.02)
    assert np.isfinite(errors["forces_rmse"])
