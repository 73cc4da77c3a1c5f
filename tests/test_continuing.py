"""Going on from a model: its E0s, its frames, its sets judged again, its ancestors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml

import pestle
from conftest import DATA
from pestle.errors import PestleError
from pestle.foundations.prediction import predict_frames
from pestle.metrics import errors_by_group
from pestle.records.card import Card
from pestle.records.manifest import Manifest
from pestle.records.training import RateProbe, Trial
from pestle.structures.reading import read_frames

Run = tuple[Path, dict[str, Any]]


def part(folder: Path, name: str, group: str, *, atoms: bool = True, every: int = 1) -> str:
    """Some frames of the embedded data as a file."""
    images = ase.io.read(DATA / f"{name}.xyz", ":")
    kept = [a for a in images if a.info["config_type"] == group][::every]
    kept += [a for a in images if atoms and a.info["config_type"] == "IsolatedAtom"]
    path = folder / f"{name}-{group}.xyz"
    ase.io.write(path, kept, format="extxyz")
    return str(path)


def plan_of(asked: dict[str, Any], out: Path) -> dict[str, Any]:
    return pestle.finetune(asked, out, dry_run=True).to_json()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Old frames are the reactant complexes, new ones the product complexes."""
    folder = tmp_path_factory.mktemp("data")
    return {
        "old": part(folder, "train", "reactant_complex"),
        "old test": part(folder, "test", "reactant_complex"),
        "old valid": part(folder, "valid", "reactant_complex"),
        "new": part(folder, "train", "product_complex", atoms=False, every=3),
        "new test": part(folder, "test", "product_complex"),
        "new valid": part(folder, "valid", "product_complex"),
    }


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> Run:
    out = tmp_path_factory.mktemp("runs") / "first"
    asked = {
        "foundation": "pestle-seed0",
        "data.train": [files["old"]],
        "data.valid": [files["old valid"]],
        "data.test": [files["old test"]],
        "train.epochs": 2,
        "train.threads": 1,
        "loss.energy": 7.0,
        "elements": "data",
    }
    return out, pestle.finetune(asked, out).to_json()


def new(files: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "data.train": [files["new"]],
        "data.valid": [files["new valid"]],
        "data.test": [files["new test"]],
        "train.threads": 1,
        **more,
    }


@pytest.fixture(scope="module")
def child(parent: Run, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "second"
    asked = new(files, **{"parent.run": str(parent[0])})
    return out, pestle.finetune(asked, out, command="pestle finetune --continue first").to_json()


def test_the_child_keeps_the_e0s_of_its_parent(parent: Run, child: Run) -> None:
    """Bit for bit: the new frames hold no isolated atoms."""
    old, now = pestle.load(parent[0]), pestle.load(child[0])
    assert now.reference_energies == old.reference_energies
    said = child[1]["reference_energies"]
    assert said["method"] == "foundation" and "first" in said["reason"]


def test_the_old_sets_are_judged_again(parent: Run, child: Run, files: dict[str, str]) -> None:
    """The child's errors on them by plain prediction, and the parent's own beside them."""
    out, manifest = child
    assert list(manifest["errors"]) == [
        "test", "valid", "old test (first)", "old valid (first)", "train",
    ]  # fmt: skip
    frames = read_frames([files["old test"]]).frames
    found = manifest["errors"]["old test (first)"]
    for name, place in (("fine-tuned", out), ("foundation", parent[0])):
        by_hand = errors_by_group(frames, predict_frames(pestle.load(place), frames))
        for quantity in ("energy_rmse", "forces_rmse"):
            expected = by_hand["all"].model_dump()[quantity]
            assert found[name]["all"][quantity] == pytest.approx(expected, rel=1e-9), name
    before = parent[1]["errors"]["test"]["fine-tuned"]["all"]
    assert found["foundation"]["all"]["forces_rmse"] == pytest.approx(before["forces_rmse"])


def test_what_was_lost_is_said(child: Run) -> None:
    out, _ = child
    record = Manifest.of_run(out / "manifest.json")
    assert record.ending is not None
    lines = record.ending.lines(out)
    assert list(lines) == ["learned", "kept", "breadth", "next"]
    assert "old test (first)" in lines["kept"] and "before" in lines["kept"]
    assert "old" not in lines["learned"]
    page = (out / "report.html").read_text()
    assert "old test (first)" in page and lines["kept"].split(" (")[0] in page
    written = json.loads((out / "protocols" / "errors" / "metrics.json").read_text())
    assert written["held_out"][2:] == ["old test (first)", "old valid (first)"]


def test_old_frames_are_trained_on_with_their_weight(parent: Run, child: Run) -> None:
    _, manifest = child
    assert manifest["data"]["summary"]["train"]["n_frames"] == 30 + 10 + 4
    assert manifest["continued"]["n_frames"] == 30
    entry = manifest["settings"]["parent.weight"]
    assert entry["value"] == pytest.approx(10 / 30) and "30 old frames" in entry["reason"]
    from pestle.jobs.finetune.preparation import prepare
    from pestle.jobs.finetune.training_graphs import training_data
    from pestle.settings.run_file import build

    settings = build(yaml.safe_load((child[0] / "run.yaml").read_text()))
    import torch

    data = training_data(prepare(settings, torch.device("cpu")))
    weights = [float(graph.energy_weight) for graph in data.train_graphs]
    assert weights == pytest.approx([1 / 3] * 30 + [1.0] * 10)


def test_what_the_parent_was_asked_for_is_the_default(child: Run) -> None:
    settings = child[1]["settings"]
    for name, value in (("loss.energy", 7.0), ("train.epochs", 2), ("elements", "data")):
        assert settings[name]["value"] == value
        assert settings[name]["reason"] == "as in the continued run first", name
    assert settings["data.train"]["reason"] == "asked for"


def test_everything_can_be_asked_for_otherwise(
    parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    more = {"loss.energy": 3.0, "train.updates": 5, "method": "lora", "parent.weight": 2.0}
    asked = new(files, **{"parent.run": str(parent[0]), **more})
    plan = plan_of(asked, tmp_path / "dry")
    for name, value in more.items():
        assert plan["settings"][name]["value"] == value, name
        assert plan["settings"][name]["reason"] == "asked for", name
    assert plan["settings"]["train.epochs"]["value"] is None


def test_the_card_keeps_the_ancestors(parent: Run, child: Run) -> None:
    old = Card.read(parent[0] / "model" / "card.json")
    card = Card.read(child[0] / "model" / "card.json")
    assert [one.name for one in card.ancestry] == ["pestle-seed0", "pestle-seed0-naive"]
    assert card.ancestry[0].fingerprint == pestle.load("pestle-seed0").fingerprint()
    assert card.ancestry[1].fingerprint == pestle.load(parent[0]).fingerprint()
    assert card.ancestry[1].run_id == old.run_id == parent[1]["run_id"] != ""
    assert card.run_id not in ("", old.run_id)
    assert set(card.level.isolated_atoms) == {"H", "C", "F", "Cl"}
    page = (child[0] / "report.html").read_text()
    assert card.ancestry[0].fingerprint in page and card.ancestry[1].fingerprint in page


def test_a_grandchild_knows_both(child: Run, files: dict[str, str], tmp_path: Path) -> None:
    """The sets of both runs, each under its own name; with frames of the demo as still newer."""
    asked = {
        "data.train": [part(tmp_path, "valid", "product_complex")],
        "parent.run": str(child[0] / "model"),
        "data.valid_fraction": 0.2,
    }
    with pytest.raises(PestleError, match="'valid'"):
        plan_of(asked, tmp_path / "leaked")
    moved = ase.io.read(files["new"], ":")
    rng = np.random.default_rng(1)
    for atoms in moved:
        atoms.rattle(0.05, rng=rng)
    ase.io.write(tmp_path / "newer.xyz", moved, format="extxyz")
    asked["data.train"] = [str(tmp_path / "newer.xyz")]
    plan = plan_of(asked, tmp_path / "dry")
    assert [run["name"] for run in plan["continued"]["runs"]] == ["first", "second"]
    assert plan["continued"]["n_frames"] == 40
    assert {"old test (first)", "old test (second)"} <= set(plan["data"]["summary"])
    assert len(plan["ancestry"]) == 3


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_old_file_that_is_not_what_it_was_is_named(
    how: str, parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    path = Path(files["old"])
    content = path.read_bytes()
    try:
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(content + b"\n")
        with pytest.raises(PestleError, match=f"{path}.*{how}.*first") as error:
            pestle.finetune(new(files, **{"parent.run": str(parent[0])}), tmp_path / "never")
        assert "--foundation" in error.value.line and not (tmp_path / "never").exists()
    finally:
        path.write_bytes(content)


def test_new_frames_alone_are_offered_the_old_ones(
    parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    asked = new(files, foundation=str(parent[0]), **{"train.epochs": 1})
    plan = plan_of(asked, tmp_path / "dry")
    assert f"pestle finetune --continue {parent[0]} --data {files['new']}" in plan["offer"]
    assert plan["data"]["summary"]["train"]["n_frames"] == 10
    assert plan["reference_energies"]["shift"] == dict.fromkeys(["H", "C", "F", "Cl"], 0.0)


def test_a_run_of_an_earlier_version_goes_on_with_its_e0s(
    parent: Run, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began from a fine-tuned model with reestimated E0s, before these were kept."""
    from pestle.files import write_json
    from pestle.jobs.finetune.resuming import resume_settings

    with monkeypatch.context() as before:
        before.setattr("pestle.jobs.finetune.parent.Parent.learned", lambda *_: None)
        out = tmp_path / "early"
        began = pestle.finetune(new(files, foundation=str(parent[0]), **{"train.epochs": 1}), out)
    was = began.to_json()
    assert was["reference_energies"]["method"] == "reestimate"
    for name in ("run_id", "ancestry", "continued", "offer"):
        del was[name]
    write_json(out / "manifest.json", was | {"format": 2}, sealed=True)
    for _ in range(2):
        longer = resume_settings(out, {"train.epochs": 2})
        now = pestle.finetune(longer, out, resume=True).to_json()
        assert now["reference_energies"]["e0s"] == was["reference_energies"]["e0s"]


def shifted(path: str, out: Path, shift: float, *, atoms: bool) -> str:
    """Frames whose labels have another constant for each atom: another level of theory."""
    images = ase.io.read(path, ":") + (ase.io.read(DATA / "train.xyz", ":") if atoms else [])
    images = [a for a in images if len(a) > 1 or atoms]
    for image in images:
        image.info["REF_energy"] += shift * len(image)
    ase.io.write(out, [a for a in images if a.info["config_type"] != "reactant_complex"])
    return str(out)


@pytest.mark.parametrize(("atoms", "method"), [(True, "isolated"), (False, "reestimate")])
def test_labels_of_another_level_get_their_own_e0s(
    atoms: bool, method: str, parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    """1.5 eV for each atom, which isolated atoms show, and without them the energies."""
    other = shifted(files["new"], tmp_path / "other.xyz", 1.5, atoms=atoms)
    asked = {"data.train": [other], "data.valid_fraction": 0.2, "train.epochs": 1}
    plan = pestle.finetune(
        asked | {"foundation": str(parent[0])}, tmp_path / "a", dry_run=True
    ).to_json()
    e0s = plan["reference_energies"]
    assert e0s["method"] == method and "not kept from first" in e0s["reason"]
    if atoms:
        assert e0s["shift"]["C"] == pytest.approx(1.5)
    with pytest.raises(PestleError, match="different levels of theory"):
        pestle.finetune(
            asked | {"parent.run": str(parent[0])}, tmp_path / "b", dry_run=True
        ).to_json()


def test_no_run_and_another_foundation_are_refused(
    parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for more, message in (
        ({"parent.run": str(tmp_path / "empty")}, "no run to continue"),
        ({"parent.run": str(tmp_path / "nowhere")}, "no such run folder"),
        ({"parent.run": str(parent[0]), "foundation": "pestle-seed1"}, "its own model"),
    ):
        with pytest.raises(PestleError, match=message):
            pestle.finetune(new(files, **more), tmp_path / "never")


def test_a_continued_run_is_resumed(child: Run) -> None:
    from pestle.jobs.finetune.resuming import resume_settings

    out, before = child
    manifest = pestle.finetune(
        resume_settings(out, {"train.epochs": 3}), out, resume=True
    ).to_json()
    assert manifest["training"]["epochs"] == 3 and manifest["run_id"] == before["run_id"]
    assert manifest["settings"]["loss.energy"]["reason"] == "as in the continued run first"


def test_a_child_keeps_the_rate_that_its_parent_found(
    parent: Run, files: dict[str, str], tmp_path: Path
) -> None:
    """A trained model has so small a loss that the search would find far too low a rate."""
    from pestle.jobs.finetune.continuing import with_parent
    from pestle.settings.run_file import from_names

    folder = tmp_path / "probed"
    shutil.copytree(parent[0], folder)
    trial = Trial(rate=1e-4, losses=(0.5,), safe=True, updates=12)
    probe = RateProbe(rate=3e-5, trials=(trial,), updates=12, seconds=1.0)
    plain = Manifest.of_run(folder / "manifest.json")
    rate = plain.settings["train.lr"].model_copy(
        update={"value": 3e-5, "reason": "auto: a third of 0.0001"}
    )
    settings = {**plain.settings, "train.lr": rate}
    probed = plain.with_entries(rate_probe=probe, settings=settings)
    probed.write(folder / "manifest.json", sealed=True)
    asked = new(files, **{"parent.run": str(folder)})
    assert with_parent(from_names(asked)).train.lr == 3e-5
    assert with_parent(from_names({**asked, "train.lr": "auto"})).train.lr == "auto", "typed wins"
    assert with_parent(from_names({**asked, "method": "lora"})).train.lr is None
    said = plan_of(asked, tmp_path / "child")["settings"]["train.lr"]
    assert said["value"] == 3e-5 and "probed" in said["reason"] and "auto" in said["reason"]
