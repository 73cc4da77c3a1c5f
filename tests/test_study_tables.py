"""Tables and plots of a study, of runs whose errors are planted."""

from __future__ import annotations

import csv
import io
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from measured_runs import write_torsion
from pestle.cli import app
from pestle.errors import PestleError
from pestle.records.gathered import Gathered
from pestle.records.manifest import Manifest
from pestle.records.study import CellRecord, CellStep
from pestle.reports.gathering.shown import blocks_of
from pestle.study.plan import plan
from pestle.study.show import study_page, study_plots, study_tables
from pestle.study.study_file import read_study
from pestle.study.worker import Places
from several_runs import BEFORE, make_run
from studies import BASE, write_study

#: Force RMSE (meV/Å) of method → fraction → seeds.
PLANTED = {
    "naive": {0.1: [50.0, 54.0, 58.0], 0.5: [30.0, 31.0, 32.0]},
    "lora": {0.1: [60.0, 62.0, 64.0], 0.5: [31.0, 32.0, 36.0]},
}
MATRIX = {
    "method": ["naive", "lora"],
    "data.train_fraction": [0.1, 0.5],
    "train.seed": [0, 1, 2],
}


def finished(folder: Path, **content: Any) -> Path:
    """A study whose cells have run, all but the last."""
    study = write_study(folder / "s.yaml", matrix=MATRIX, base=BASE, **content)
    read = read_study(study)
    cells = plan(read).record.cells
    for cell in cells[:-1]:
        axes, places = cell.axes, Places(read.folder, cell.name)
        seed, fraction = axes["train.seed"], axes["data.train_fraction"]
        planted = PLANTED[axes["method"]][fraction][seed]
        make_run(places.run, planted, seed=seed, method=axes["method"])
        steps = {n: CellStep(key=key, status="finished", code=0) for n, key in cell.steps.items()}
        CellRecord(name=cell.name, axes=axes, steps=steps).write(places.record)
    return study


def shown(table: Gathered) -> dict[str, dict[str, tuple[float, float | None, int]]]:
    """Row → column → mean, deviation, number."""
    return {
        row.name: {key: (c.mean, c.deviation, c.n) for key, c in row.cells.items()}
        for row in table.rows
    }  # type: ignore[misc]


def test_axes_make_rows_and_columns_and_seeds_a_mean_with_its_spread(tmp_path: Path) -> None:
    asked = {"rows": ["method"], "columns": ["data.train_fraction"], "values": ["test.forces_rmse"]}
    study = finished(tmp_path, tables={"fractions": asked})
    table = study_tables(study)["fractions"]
    few, many = (f"train_fraction {f}: test.all.forces_rmse" for f in (0.1, 0.5))
    naive, lora = shown(table)["naive"], shown(table)["lora"]
    assert naive[few] == (54.0, 4.0, 3) and naive[many] == (31.0, 1.0, 3)
    assert lora[few] == (62.0, 2.0, 3)
    assert lora[many] == (31.5, pytest.approx(statistics.stdev([31, 32])), 2), "one is not done"
    best = {row.name: [key for key, cell in row.cells.items() if cell.best] for row in table.rows}
    # 54 ± 4 against 62 ± 2 differ by more than their spread, 31 ± 1 and 31.5 ± 0.7 do not.
    assert best == {"naive": [few], "lora": [], "seed, untrained": []}
    lines = list(csv.DictReader(io.StringIO((tmp_path / "s/tables/fractions.csv").read_text())))
    assert [float(line[f"{few} (meV/Å)"]) for line in lines] == [54.0, 62.0, BEFORE]
    latex = (tmp_path / "s/tables/fractions.tex").read_text()
    assert r"54.0 \pm 4.0" in latex and r"\mathbf" in latex


def test_tables_and_plots_of_a_part_say_how_much_they_hold(tmp_path: Path) -> None:
    study = finished(
        tmp_path,
        tables={"t": {"rows": ["method"], "values": ["test.forces_rmse"]}},
        plots={"p": {"x": "data.train_fraction", "y": "test.forces_rmse"}},
    )
    (table,) = study_tables(study).values()
    assert "Holds 11 of 12 cells of the study." in table.notes
    assert "Holds 11 of 12 cells" in (tmp_path / "s/tables/t.tex").read_text()
    only = ["method=naive", "train.seed=0"]
    (table,) = study_tables(study, only=only).values()
    assert [row.name for row in table.rows] == ["naive", "seed, untrained"]
    assert shown(table)["naive"]["test.all.forces_rmse"][2] == 2
    assert any("2 of 12 cells" in note and "method=naive" in note for note in table.notes)
    study_plots(study, only=only)
    assert "2 of 12 cells" in (tmp_path / "s/plots/captions.md").read_text()
    assert "2 of 12 cells" in study_page(study, only=only).read_text()
    with pytest.raises(PestleError, match="no run of these cells is finished yet"):
        study_tables(study, only=["method=lora", "data.train_fraction=0.5", "train.seed=2"])
    for run in (tmp_path / "s/runs").glob("lora-*"):  # the last one, which is missing, is of lora
        shutil.rmtree(run)
    write_study(study, base=BASE, matrix={**MATRIX, "method": ["naive"]})
    (table,) = study_tables(study).values()
    assert not any("cells" in note for note in table.notes), "all of them"


def test_an_axis_that_no_finished_cell_has_is_no_mistake(tmp_path: Path) -> None:
    """Cells that were included may lack it."""
    tables = {"t": {"rows": ["method", "rate"], "values": ["test.forces_rmse"]}}
    more = {"matrix": {"rate": {"low": {"train.lr": 1e-5}}}, "include": [MATRIX]}
    study = finished(tmp_path)
    write_study(study, base=BASE, tables=tables, **more)
    (table,) = study_tables(study).values()
    assert len(table.rows) == 3 and "Holds 11 of 13 cells of the study." in table.notes


def test_a_study_without_tables_has_one_of_its_errors(tmp_path: Path) -> None:
    (table,) = study_tables(finished(tmp_path)).values()
    assert [row.name for row in table.rows] == [
        "naive, 0.1", "naive, 0.5", "lora, 0.1", "lora, 0.5", "seed, untrained",
    ]  # fmt: skip
    assert shown(table)["naive, 0.1"]["test.all.forces_rmse"] == (54.0, 4.0, 3)
    assert "over 2, 3 runs" in " ".join(table.notes)


def test_the_untrained_foundation_has_a_row_of_errors_and_of_tests(tmp_path: Path) -> None:
    values = ["test.forces_rmse", "torsion.rmse"]
    asked = {"rows": ["method"], "values": values}
    tables = {"both": asked, "runs": {**asked, "foundation": False}}
    study = finished(tmp_path, tables=tables, probe={"torsion": {}})
    for run in (tmp_path / "s" / "runs").iterdir():
        models = {run.name: 1.5, "seed": 4.5}
        write_torsion(run, models)
    found = study_tables(study)
    row = found["both"].rows[-1]
    assert (row.name, row.kind) == ("seed, untrained", "foundation")
    # One model, however many runs began with it: no spread.
    figures = {key: (cell.mean, cell.deviation) for key, cell in row.cells.items()}
    assert figures == {"test.all.forces_rmse": (BEFORE, None), "torsion.rmse": (4.5, None)}
    assert all(row.kind == "runs" for row in found["runs"].rows)


def test_foundations_that_differ_have_rows_of_their_own(tmp_path: Path) -> None:
    study = finished(tmp_path, tables={"t": {"rows": ["method"], "values": ["test.forces_rmse"]}})
    for run in (tmp_path / "s" / "runs").iterdir():
        if run.name.startswith("lora"):
            manifest = Manifest.read(run / "manifest.json")
            other = manifest.foundation.model_copy(update={"name": "other"})
            manifest.model_copy(update={"foundation": other}).write(run / "manifest.json")
    (table,) = study_tables(study).values()
    assert [r.name for r in table.rows] == ["naive", "lora", "seed, untrained", "other, untrained"]


def test_a_plot_has_a_line_for_each_method_and_the_spread_of_its_seeds(tmp_path: Path) -> None:
    plots = {
        "fraction": {"x": "data.train_fraction", "y": "test.forces_rmse"},
        "course": {"x": "epoch", "y": "valid.forces_rmse", "lines": ["method"]},
    }
    files = study_plots(finished(tmp_path, plots=plots))
    assert {f.suffix for f in files} == {".svg", ".pdf", ".csv", ".md"}
    rows = list(csv.DictReader((tmp_path / "s/plots/fraction.csv").read_text().splitlines()))
    assert len(rows) == 4
    naive = [row for row in rows if row["series"] == "naive"]
    assert [float(row["data.train_fraction"]) for row in naive] == [0.1, 0.5]
    (mean,) = [name for name in naive[0] if "force RMSE" in name]
    first = {name: float(naive[0][name]) for name in (mean, "lower", "upper")}
    assert first == {mean: 54.0, "lower": 50.0, "upper": 58.0}


def test_what_is_averaged_over_is_said_and_seeds_are_counted_once(tmp_path: Path) -> None:
    study = finished(
        tmp_path,
        tables={"t": {"rows": ["method"], "values": ["test.forces_rmse"]}},
        plots={"p": {"x": "train.seed", "y": "test.forces_rmse", "lines": ["method"]}},
    )
    (table,) = study_tables(study).values()
    (block,) = [block for block in blocks_of(table) if block.title == "t"]
    # Three seeds of two fractions; the last run of lora is not there.
    assert block.lead["seeds"][:2] == ("3", "3") and block.lead["runs"][:2] == ("6", "5")
    assert any("also over data.train_fraction" in note for note in table.notes)
    study_plots(study)
    assert "also over data.train_fraction" in (tmp_path / "s/plots/captions.md").read_text()
    points = csv.DictReader((tmp_path / "s/plots/p.csv").read_text().splitlines())
    assert sorted((p["series"], p["n"]) for p in points) == [
        ("lora", "1"), ("lora", "2"), ("lora", "2"), *[("naive", "2")] * 3,
    ]  # fmt: skip


def test_a_figure_that_no_run_has_yet_hides_no_other(tmp_path: Path) -> None:
    rows = {"rows": ["method"]}
    study = finished(
        tmp_path,
        probe={"neb": {}},
        tables={
            "errors": {**rows, "values": ["test.forces_rmse", "neb.barrier"]},
            "barrier": {**rows, "values": ["neb.reactions.sn2.barrier_error"]},
        },
    )
    found = study_tables(study)
    assert list(found) == ["errors"] and "test.all.forces_rmse" in shown(found["errors"])["naive"]
    assert any("'neb.barrier'" in note for note in found["errors"].notes)


def test_the_page_begins_with_the_tables_and_plots_of_the_study(tmp_path: Path) -> None:
    study = finished(
        tmp_path,
        tables={"by-method": {"rows": ["method"], "values": ["test.forces_rmse"]}},
        plots={"p": {"x": "train.seed", "y": "test.forces_rmse"}},
    )
    for run in (tmp_path / "s" / "runs").iterdir():
        write_torsion(run, {run.name: 1.5, "seed": 4.5})
    page = study_page(study).read_text()
    assert "<h1>Study s: 11 runs" in page and "No run was qualified" not in page
    places = [page.index(words) for words in ("<h3>By method</h3>", 'id="study-p', 'id="errors"')]
    assert places == sorted(places) and "(11 runs)" in page
    assert "<span>1.5" in page, "what the probe found"


def test_a_table_with_a_page_warns_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The page takes the tables that were just made."""
    asked = {"rows": ["method"], "values": ["neb.barrier"]}
    study = finished(
        tmp_path,
        probe={"neb": {}},
        tables={"t": {"rows": ["method"], "values": ["test.forces_rmse"]}, "later": asked},
    )
    done = CliRunner().invoke(app, ["study", "table", str(study), "--page"])
    assert done.exit_code == 0 and (tmp_path / "s" / "study.html").is_file()
    said = done.output + capsys.readouterr().err
    assert said.count("neb.barrier") == 1, said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"values": ["test.force_rmse"]}, "Did you mean 'test.forces_rmse'"),
        ({"values": ["test.forces_rmse"], "rows": ["metod"]}, "Did you mean 'method'"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(PestleError, match=words):
        study_tables(finished(tmp_path, tables={"wrong": content}))


def test_nothing_is_shown_of_a_study_that_has_not_begun(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="pestle study status"):
        study_tables(write_study(tmp_path / "s.yaml"))
