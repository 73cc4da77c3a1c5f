"""`data.valid_fraction=0`: allowed when asked for, and what it gives up is said everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import pestle
from conftest import DATA
from pestle.errors import PestleError, nearest
from pestle.jobs.finetune.plan import plan_lines
from pestle.jobs.finetune.resuming import resume_settings
from pestle.records.manifest import Manifest
from pestle.settings.run_file import unknown_name_error
from pestle.structures.frame import split_isolated_atoms
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from run_files import evaluations


def asked(path: Path, count: int, **more: Any) -> dict[str, Any]:
    body, atoms = split_isolated_atoms(read_frames([str(DATA / "train.xyz")]).frames)
    write_frames(path, [*atoms, *body[:count]])
    return {
        "foundation": "pestle-seed0",
        "data.train": [str(path)],
        "train.updates": 6,
        "train.batch_size": 1,
        "train.threads": 1,
        "train.dtype": "float32",
        "data.valid_fraction": 0,
        **more,
    }


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_model_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also where it is worse on the frames that are watched: at this rate it gets worse."""
    monkeypatch.chdir(tmp_path)
    more: dict[str, Any] = {
        "train.lr": 0.03,
        "train.schedule": "constant",
        "train.eval_interval": 1,
    }
    manifest = pestle.finetune(asked(Path("a.xyz"), count, **more), "run").to_json()
    records = evaluations(Path("run/metrics.jsonl"))
    assert all("valid" not in r and r["train_frames"]["n_frames"] == count for r in records)
    assert all(r["best"] for r in records)
    losses = [r["train_frames"]["loss"] for r in records]
    assert losses[-1] > min(losses), "the case tests nothing unless an earlier model was better"
    training = manifest["training"]
    assert training["kept"] == "last" and training["best_update"] == training["steps"] == 6
    assert training["best_value"] == losses[-1] and training["convergence"] is None
    # The weights of the folder are those whose figures stand in the last line.
    found = pestle.evaluate("run", ["a.xyz"]).to_json()["all"]["forces_rmse"]
    assert found == pytest.approx(records[-1]["train_frames"]["forces_rmse"], rel=1e-3)
    assert set(manifest["errors"]) == {"train"}
    # The plan, the log, the ending and the page say it.
    plan = "\n".join(plan_lines(Manifest.of(manifest, "manifest")))
    assert re.search("no validation frames.*last model is kept", plan)
    assert "never earlier: without validation" in plan and "nothing ends the run early" in plan
    log = Path("run/log.txt").read_text()
    assert "training frames:" in log and "*best" not in log
    assert "no error is on unseen frames" in log
    page = Path("run/report.html").read_text()
    assert "Force RMSE, training frames" in page and "Force RMSE, validation" not in page
    assert "Last update, kept" in page and "Best update" not in page


def test_a_run_without_validation_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = {"train.schedule": "constant", "train.eval_interval": 1}
    pestle.finetune(asked(Path("a.xyz"), 2, **more), "whole")
    pestle.finetune(asked(Path("a.xyz"), 2, **more, **{"train.updates": 4}), "parts")
    manifest = pestle.finetune(
        resume_settings(Path("parts"), {"train.updates": 6}), "parts", resume=True
    ).to_json()
    assert manifest["training"]["best_update"] == 6
    first, second = (load_file(f"{name}/model/weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_a_falling_rate_takes_the_place_of_plateaus(tmp_path: Path) -> None:
    manifest = pestle.finetune(
        asked(tmp_path / "a.xyz", 2), tmp_path / "run", dry_run=True
    ).to_json()
    assert manifest["settings"]["train.schedule"]["value"] == "cosine"
    assert "no plateau can be seen" in manifest["settings"]["train.schedule"]["reason"]
    assert re.match("no frame .*validation", manifest["warnings"][0])


@pytest.mark.parametrize(
    ("count", "more", "message"),
    [
        (1, {"data.valid_fraction": 0.1}, "one frame besides.*--set data.valid_fraction=0"),
        (2, {"train.updates": None}, r"data\.valid_fraction: .*train\.updates=2000"),
        (2, {"train.schedule": "plateau"}, r"train\.schedule: .*data\.valid_fraction=0"),
        (2, {"keep.interpolate": "auto"}, r"keep\.interpolate: .*data\.valid_fraction=0"),
        (0, {}, r"data\.train: .*isolated atoms"),
        (2, {"data.valid_fraction": -0.1}, r"data\.valid_fraction.*\b0\b"),
    ],
)
def test_what_it_cannot_do_never_starts(
    tmp_path: Path, count: int, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(PestleError, match=message):
        pestle.finetune(asked(tmp_path / "a.xyz", count, **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("forcse", ["energy", "forces"], "forces"),
        ("REF_energi", ["REF_energy", "REF_forces"], "REF_energy"),
        ("medium-omat", ["small-omat-0", "medium-omat-0", "medium"], "medium-omat-0"),
        ("trian.xyz", ["train.xyz", "valid.xyz"], "train.xyz"),
        ("PBE", ["pbe", "r2scan"], "pbe"),
        ("a.xyz", ["b.xyz", "c.xyz"], ""),
        ("water.xyz", ["train.xyz", "run.yaml"], ""),
        ("mymodel", ["medium", "mh-1", "small"], ""),
        ("energy", ["forces", "stress", "charge"], ""),
        ("x", [], ""),
    ],
)
def test_only_near_names_are_suggested(name: str, known: list[str], near: str) -> None:
    assert nearest(name, known) == (f" Did you mean '{near}'?" if near else "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("epoch", "'train.epochs'"),
        ("training.epochs", "'train.epochs'"),
        ("tarin.lr", "'train.lr'"),
        ("E0s", "is e0s here"),
        ("foobar", "`pestle init` lists"),
    ],
)
def test_settings_that_exist_are_suggested(name: str, said: str) -> None:
    assert said in unknown_name_error(name).line
