"""Runs made by earlier versions, kept in tests/old_runs: their records are read, they go on, they
are qualified, and their page is made.

The runs were made before records had a number of their format: `naive` (method and rate chosen,
its weights interpolated; qualified), `pseudolabel-lora` (replay, drift within a budget).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import ase.io
import pytest

import pestle
from pestle.errors import PestleError
from pestle.files import write_json
from pestle.jobs.finetune.resuming import resume_settings
from pestle.jobs.qualify import qualify
from pestle.records.card import Card
from pestle.records.manifest import Manifest
from pestle.records.metrics import read_metrics
from pestle.records.reading import read_folder
from pestle.records.timings import Timings
from pestle.records.verdict import Verdict
from run_files import evaluations

OLD = Path(__file__).parent / "old_runs"
RUNS = ("naive", "pseudolabel-lora")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy that can be written to. Its run files name the data where they now are."""
    place = tmp_path / "old"
    shutil.copytree(OLD, place)
    for path in place.glob("*/run.yaml"):
        text, mark, _ = path.read_text().replace("/old/", f"{place}/").rpartition("# SHA-256")
        told = "# SHA-256 of the lines above, as the run wrote them: "
        assert mark and told.startswith(mark)
        path.write_text(f"{text}{told}{hashlib.sha256(text.encode()).hexdigest()}\n")
    return place


def content(path: Path) -> Any:
    found = json.loads(path.read_text())
    found.pop("sha256", None)
    return found


@pytest.mark.parametrize("run", RUNS)
def test_every_record_says_what_it_said(run: str) -> None:
    """Nothing is lost or changed but the number of the format. Added are ancestors and the level of
    the labels, which older records imply."""
    folder = OLD / run
    files = {"manifest.json": Manifest, "model/card.json": Card}
    if run == "naive":
        files |= {"verdict.json": Verdict, "timings.json": Timings}
    for name, kind in files.items():
        was, found = content(folder / name), kind.read(folder / name).in_file()
        assert found.pop("format") == kind.present_format(), name
        was.pop("format", None)
        if "foundation" in was:
            known = {name: was["foundation"][name] for name in ("name", "fingerprint")}
            assert found.pop("ancestry") == [known | {"run_id": ""}], name
            assert found.pop("run_id") == ""
        if name == "manifest.json":
            added = [found.pop(name) for name in ("continued", "offer", "files_not_given")]
            assert added == [None, "", ""]
            assert (found["plan"].pop("updates_done"), found["plan"].pop("untimed")) == (0, "")
        if name == "verdict.json":
            assert found.pop("weights") == ""
            for part in found["protocols"].values():
                assert part.pop("first_look") == (part["full_extent"] is not None)
        if name == "model/card.json":
            level, e0s = found.pop("level"), was["reference_energies"]
            assert level["elements"] == list(e0s["shift"])
            assert set(level["isolated_atoms"]) == set(
                e0s["shift"] if e0s["method"] == "isolated" else ()
            )
        assert found == was, name
    lines = [json.loads(one.line) for one in read_metrics(folder / "metrics.jsonl")]
    for line in lines:
        del line["format"]
    assert lines == evaluations(folder / "metrics.jsonl")


@pytest.mark.parametrize("run", RUNS)
def test_an_old_run_is_continued(run: str, old: Path, tmp_path: Path) -> None:
    """Its manifest names the data where they were; here they are where the tests keep them."""
    path = old / run / "manifest.json"
    was = content(path)
    for files in was["data"]["files"].values():
        for file in files:
            file["path"] = str(old / Path(file["path"]).name)
    write_json(path, was, sealed=True)
    new = ase.io.read(old / "train.xyz", ":")
    for seed, atoms in enumerate(new):
        atoms.rattle(0.05, seed=seed)
    ase.io.write(tmp_path / "new.xyz", new)
    asked = {"parent.run": str(old / run), "data.train": [str(tmp_path / "new.xyz")]}
    if was["replay"] is not None:
        asked["replay.pool"] = [str(old / "pool.xyz")]
    plan = pestle.finetune(asked | {"train.epochs": 1}, tmp_path / "dry", dry_run=True).to_json()
    summary = was["data"]["summary"]["train"]
    assert plan["continued"]["n_frames"] == summary["n_frames"] - summary["n_isolated_atoms"]
    assert plan["ancestry"][0]["name"] == was["foundation"]["name"]
    assert plan["method"]["name"] == was["method"]["name"]


@pytest.mark.parametrize("run", RUNS)
def test_an_old_run_goes_on(run: str, old: Path) -> None:
    out = old / run
    manifest = pestle.finetune(
        resume_settings(out, {"train.epochs": 3}), out, resume=True
    ).to_json()
    assert manifest["status"] == "finished" and manifest["training"]["epochs"] == 3
    assert manifest["command"] == "pestle finetune …", "the command that began it"
    (change,) = manifest["changes"]
    assert (change["setting"], change["from"], change["to"]) == ("train.epochs", 2, 3)
    lines = evaluations(out / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    before, now = content(OLD / run / "manifest.json"), Manifest.read(out / "manifest.json")
    assert now.in_file()["rate_probe"] == before["rate_probe"]
    assert now.in_file()["method"]["choice"] == before["method"]["choice"]
    assert now.settings["train.lr"].reason == before["settings"]["train.lr"]["reason"]
    assert (out / "report.html").is_file()


def test_an_old_run_is_qualified(old: Path) -> None:
    found = qualify(str(old / "naive"), leave_out=["md"]).to_json()
    was = content(OLD / "naive" / "verdict.json")
    gate = found["protocols"]["zero_step"]
    assert not gate.pop("first_look") and gate == was["protocols"]["zero_step"]
    assert found["verdict"] == was["verdict"] == "fail"


@pytest.mark.parametrize("run", RUNS)
def test_an_old_run_has_its_page(run: str, old: Path) -> None:
    page = pestle.report(old / run).read_text()
    was = content(OLD / run / "manifest.json")
    assert was["foundation"]["name"] in page and was["status_detail"] in page
    records = read_folder(old / run)
    assert records.manifest is not None and len(records.metrics) == 3
    assert (records.verdict is not None) == (run == "naive")


def test_a_run_of_the_first_weeks_is_read(old: Path) -> None:
    """It kept the whole summary of the checks and whether its foundation was trusted, and knew
    nothing of changes, interpolation, dispersion, or when the run would end earlier."""
    path = old / "naive" / "manifest.json"
    was, new = content(path), Manifest.read(path)
    for name in ("changes", "interpolation", "rate_probe"):
        del was[name]
    del was["data"]["dispersion"], was["data"]["dispersion_removed"]
    del was["foundation"]["dispersion"], was["foundation"]["arithmetic"]
    for name in ("updates_between_evaluations", "passes", "ends_earlier"):
        del was["plan"][name]
    for name in ("best_update", "kept", "convergence"):
        del was["training"][name]
    was["ending"]["trust"] = True
    was["data"]["summary"] = {"splits": was["data"]["summary"], "keys": {}}
    write_json(path, was, sealed=True)
    found = Manifest.read(path)
    assert found.ending == new.ending and found.data.summary == new.data.summary
    assert found.training is not None and found.training.best_update is None


def test_a_newer_run_is_refused_by_name(old: Path) -> None:
    path = old / "naive" / "manifest.json"
    write_json(path, content(path) | {"format": 99}, sealed=True)
    present = Manifest.present_format()
    with pytest.raises(PestleError, match=rf"99.*{present}.*Update Pestle") as error:
        Manifest.read(path)
    assert str(path) in error.value.line
    records = read_folder(old / "naive")
    assert records.manifest is None and any("Update Pestle" in line for line in records.missing)
    assert len(records.metrics) == 3, "the other records are read"


def test_a_broken_part_leaves_the_rest(old: Path) -> None:
    folder = old / "naive"
    was = content(folder / "manifest.json")
    was["ending"]["best_epoch"] = "soon"
    (folder / "manifest.json").write_text(json.dumps(was))
    (folder / "metrics.jsonl").write_text(
        (folder / "metrics.jsonl").read_text() + '{"epoch": 4, "st'
    )
    (folder / "verdict.json").write_text("[1]")
    found = read_folder(folder)
    assert found.manifest is not None and found.manifest.ending is None
    assert found.manifest.training is not None and len(found.metrics) == 3
    said = " ".join(found.missing)
    assert "ending.best_epoch" in said and "1 broken line" in said and "verdict.json" in said


def test_a_name_that_nobody_knows_is_an_error(old: Path) -> None:
    """A writer that renames an entry is told, instead of a page that lacks it."""
    manifest = Manifest.read(old / "naive" / "manifest.json")
    with pytest.raises(ValueError, match="trainning"):
        manifest.with_entries(trainning=manifest.training)
