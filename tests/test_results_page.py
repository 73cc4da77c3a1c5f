"""docs/results.md shows what the published tables hold, and studies are published without paths."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pestle.errors import PestleError
from pestle.records.study import CellRecord, CellStep
from pestle.study.plan import plan
from pestle.study.study_file import read_study
from pestle.study.worker import Places
from several_runs import make_run
from studies import BASE, DATA, write_study

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STUDIES = sorted(path.parent for path in DOCS.glob("results/*/study.json"))


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """recipes/publish_results.py and recipes/results_page.py."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import publish_results
    import results_page

    return publish_results, results_page


def test_the_page_agrees_with_the_published_tables(recipes: tuple[ModuleType, ModuleType]) -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    assert recipes[1].filled(text, DOCS) == text, "python recipes/results_page.py"


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_what_is_published(folder: Path, recipes: tuple[ModuleType, ModuleType]) -> None:
    record = recipes[1].Published.read(folder / "study.json")
    assert (ROOT / record.study).is_file(), "the file of the study"
    names = {path.name for path in folder.iterdir()} - {"study.json", "study.yaml"}
    assert names == {f"{name}.csv" for name in record.tables} | {
        f"plot-{name}.{suffix}" for name in record.plots for suffix in ("svg", "csv")
    }
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    assert f"<!-- study: {folder.name} -->" in text, "it is on the page"
    for path in folder.iterdir():
        found = re.findall(r"/(?:work|home|tmp|scratch|root|Users)\b", path.read_text())
        assert not found, f"{path.name} holds a path of one machine"


def run_study(folder: Path, errors: dict[str, list[float]], **content: Any) -> Path:
    """A study whose runs have these force errors: method → seeds; returns its folder."""
    seeds = range(max(map(len, errors.values())))
    matrix = {"method": list(errors), "train.seed": list(seeds)}
    asked = {"tables": {"t": {"rows": ["method"], "values": ["test.forces_rmse"]}}} | content
    files = {name: [f"${{data}}/data/{name}.xyz"] for name in ("train", "valid", "test")}
    asked = {"paths": {"data": None}, **asked, "base": BASE | {"data": files}}
    study = write_study(folder / "s.yaml", matrix=matrix, **asked)
    read = read_study(study, [f"data={DATA.parent}"])
    record = plan(read).record
    read.folder.mkdir()
    record.write(read.folder / "plan.json")
    for cell in record.cells:
        method, seed = cell.axes["method"], cell.axes["train.seed"]
        if seed >= len(errors[method]):
            continue
        places = Places(read.folder, cell.name)
        make_run(places.run, errors[method][seed], seed=seed, method=method)
        steps = {n: CellStep(key=key, status="finished", code=0) for n, key in cell.steps.items()}
        CellRecord(name=cell.name, axes=cell.axes, steps=steps).write(places.record)
    return read.folder


PAGE = "# Results\n\n- A reading.\n\n## Not run yet\n\nOthers.\n"


def published(folder: Path, recipes: tuple[ModuleType, ModuleType], **how: Any) -> str:
    page = folder / "docs" / "results.md"
    if not page.exists():
        page.parent.mkdir()
        page.write_text(PAGE)
    recipes[0].publish(folder / "s", "toy", page=page, **how)
    return page.read_text()


def test_a_study_gets_a_section_with_means_and_the_best_beyond_the_spread(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    run_study(tmp_path, {"naive": [50.0, 54.0, 58.0], "lora": [20.0, 21.0, 22.0]})
    text = published(tmp_path, recipes)
    assert "- A reading." in text and text.endswith("## Not run yet\n\nOthers.\n")
    assert "| naive | 54.0 ± 4.0 |" in text
    assert "| lora | **21.0 ± 1.0** |" in text
    assert "(meV/Å)" in text and "6 runs with 3 seeds" in text
    assert "pestle study docs/results/toy/study.yaml --set data=DATA" in text
    folder = tmp_path / "docs" / "results" / "toy"
    assert (folder / "study.yaml").is_file() and str(tmp_path) not in (folder / "t.csv").read_text()
    # The reading that somebody writes stays when the study is published again.
    page = tmp_path / "docs" / "results.md"
    page.write_text(text.replace("Others.", "Mine."))
    again = published(tmp_path, recipes, settings=["train.updates=9"], note="A short one.")
    assert "Mine." in again and again.count("## s") == text.count("## s")
    assert "--set data=DATA --set train.updates=9\n" in again and "A short one." in again


def test_what_is_within_the_spread_is_not_best_and_fewer_seeds_are_said(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    method = {"method": {"rows": ["method"], "values": ["test.forces_rmse"]}}  # named like an axis
    run_study(tmp_path, {"naive": [50.0, 54.0, 58.0], "lora": [50.0, 52.0]}, tables=method)
    text = published(tmp_path, recipes)
    assert "**" not in text
    assert "| lora | 2 | 51.0 ± 1.4 |" in text and "| naive | 3 | 54.0 ± 4.0 |" in text
    assert "5 of 6 runs" in text


def test_of_single_runs_none_is_the_best_and_columns_of_axes_are_found(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    """Nobody knows their spread."""
    asked = {"columns": ["method", "train.seed"], "values": ["test.forces_rmse"], "over": []}
    run_study(tmp_path, {"naive": [50.0], "lora": [20.0]}, tables={"wide": asked})
    text = published(tmp_path, recipes)
    assert "| all | 50.0 | 20.0 |" in text and "**" not in text
    column = "wide lora, seed 0: test.all.forces_rmse, smallest"
    comment = f"<!-- table: toy\nforces: '{column}'\nrows: runs\n-->\n<!-- end -->\n"
    assert "20.0" in recipes[1].filled(comment, tmp_path / "docs")


def test_the_value_nearest_to_a_reference_is_the_best(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    run_study(tmp_path, {"naive": [50.0, 51.0], "lora": [20.0, 21.0]})
    text = published(tmp_path, recipes)
    column = "t test.all.forces_rmse, nearest 45"
    asked = f"<!-- table: toy\nhow: method\nforces: {column}\nrows: runs\n-->\n<!-- end -->\n"
    made = recipes[1].filled(asked, tmp_path / "docs")
    assert "| how | forces (meV/Å) |" in made and "| naive | **50.50 ± 0.71** |" in made
    assert "| lora | 20.50 ± 0.71 |" in made and "untrained" not in made
    assert "untrained" in text
    for wrong in (
        "t test.all.force_rmse",
        "u test.all.forces_rmse",
        "t test.all.forces_rmse, best",
    ):
        with pytest.raises(PestleError):
            asked = f"<!-- table: toy\nforces: {wrong}\n-->\n<!-- end -->\n"
            recipes[1].filled(asked, tmp_path / "docs")
    with pytest.raises(PestleError, match="toys"):
        recipes[1].filled("<!-- study: toys -->\n<!-- end -->\n", tmp_path / "docs")


def test_another_digit_on_the_page_is_noticed(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    run_study(tmp_path, {"naive": [50.0], "lora": [20.0]})
    text = published(tmp_path, recipes)
    changed = text.replace("50.0", "40.0")
    assert changed != text == recipes[1].filled(changed, tmp_path / "docs")


def test_paths_of_this_machine_are_refused_and_nothing_is_written(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    run_study(tmp_path, {"naive": [50.0], "lora": [20.0]}, paths={"data": "/home/me/data"})
    with pytest.raises(PestleError, match="/home/me/data"):
        published(tmp_path, recipes)
    assert not (tmp_path / "docs" / "results").exists()
    assert (tmp_path / "docs" / "results.md").read_text() == PAGE


def test_runs_that_lie_elsewhere_are_added_and_foreign_ones_refused(
    tmp_path: Path, recipes: tuple[ModuleType, ModuleType]
) -> None:
    run_study(tmp_path, {"naive": [50.0, 52.0], "lora": [20.0]})
    make_run(tmp_path / "old", 22.0, seed=1, method="lora")
    assert "| lora | 21.0 ± 1.4 |" in published(tmp_path, recipes, runs=[tmp_path / "old"]).replace(
        "**", ""
    )
    make_run(tmp_path / "foreign", 22.0, seed=7, method="lora")
    with pytest.raises(PestleError, match="no cell"):
        published(tmp_path, recipes, runs=[tmp_path / "foreign"])
