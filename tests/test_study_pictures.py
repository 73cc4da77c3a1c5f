"""Curves, violins and means in phase of the runs of a study, whose measurements are planted."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from measured_runs import (
    ANGLES,
    LABELS,
    write_dimers,
    write_frame_errors,
    write_rdf,
    write_torsion,
)
from pestle.errors import PestleError
from pestle.records.study import CellRecord, CellStep
from pestle.study.plan import plan
from pestle.study.show import study_page, study_plots, study_tables
from pestle.study.study_file import read_study
from pestle.study.worker import Places
from several_runs import BEFORE, make_run
from studies import BASE, write_study

MATRIX = {"method": ["naive", "lora"], "train.seed": [0, 1]}
#: What a model is off by: method, seed.
OFF = {("naive", 0): 1.0, ("naive", 1): 3.0, ("lora", 0): 5.0, ("lora", 1): 5.0}


def finished(folder: Path, write: Callable[..., None] | None, **content: Any) -> Path:
    """A study whose runs were measured: the foundation is off by 9."""
    study = write_study(folder / "s.yaml", **{"matrix": MATRIX, "base": BASE, **content})
    read = read_study(study)
    for cell in plan(read).record.cells:
        axes, places = cell.axes, Places(read.folder, cell.name)
        groups = {"ice_Ih": 10.0, "ice_II": 30.0} if "phase" in axes else None
        make_run(places.run, 50.0, method=axes.get("method", "naive"), groups=groups)
        steps = {n: CellStep(key=key, status="finished", code=0) for n, key in cell.steps.items()}
        CellRecord(name=cell.name, axes=axes, steps=steps).write(places.record)
        if write is not None:
            off = OFF[axes["method"], axes["train.seed"]]
            write(places.run, {cell.name: off, "seed": 9.0})
    return study


def drawn(folder: Path, name: str) -> dict[str, list[dict[str, str]]]:
    """Series of a picture → the rows of its CSV."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader((folder / "s" / "plots" / f"{name}.csv").read_text().splitlines()):
        found.setdefault(row["series"], []).append(row)
    return found


def column(rows: list[dict[str, str]], part: str) -> list[float]:
    (name,) = [name for name in rows[0] if part in name]
    return [float(row[name]) for row in rows]


def test_torsions_of_several_runs_are_one_picture_with_the_reference(tmp_path: Path) -> None:
    study = finished(tmp_path, write_torsion, plots={"acac": {"kind": "torsion"}})
    files = study_plots(study)
    assert {file.name for file in files} >= {"acac.svg", "acac.pdf", "acac.csv"}
    found = drawn(tmp_path, "acac")
    assert set(found) == {"reference", "seed, untrained", "naive", "lora"}
    assert column(found["reference"], "energy") == LABELS
    assert column(found["naive"], "coordinate") == ANGLES
    # The mean of the labels + 1 and + 3, and the standard deviation of the two.
    assert column(found["naive"], "energy") == [label + 2.0 for label in LABELS]
    assert {row["n"] for row in found["naive"]} == {"2"}, "the number of runs of each mean"
    assert {row["n"] for row in found["reference"]} == {""}
    upper = column(found["naive"], "upper")
    assert upper == pytest.approx([label + 2.0 + 2**0.5 for label in LABELS], abs=1e-4)
    assert column(found["seed, untrained"], "energy") == [label + 9.0 for label in LABELS]


def test_each_pair_has_a_picture_and_some_can_be_chosen(tmp_path: Path) -> None:
    plots = {
        "walls": {"kind": "dimers"},
        "one": {"kind": "dimers", "of": ["H-Cl"], "foundation": False},
        "wrong": {"kind": "dimers", "of": ["Cl-H"]},
    }
    study = finished(tmp_path, write_dimers, plots=plots)
    names = {file.name for file in study_plots(study, names=["walls", "one"])}
    assert {"walls-H-H.svg", "walls-H-Cl.svg", "one.svg"} <= names
    assert set(drawn(tmp_path, "one")) == {"naive", "lora"}
    (tmp_path / "s" / "plots" / "one.svg").unlink()
    with pytest.raises(PestleError, match="no run has a pair 'Cl-H'"):
        study_plots(study)
    assert (tmp_path / "s" / "plots" / "one.svg").exists(), "the others are drawn"
    assert 'id="study-one"' in study_page(study).read_text()


def test_radial_distribution_functions_stand_beside_the_reference(tmp_path: Path) -> None:
    study = finished(tmp_path, write_rdf, plots={"g": {"kind": "rdf", "lines": ["method"]}})
    study_plots(study)
    found = drawn(tmp_path, "g")
    heights = {name: column(rows, "g(r)")[0] for name, rows in found.items()}
    assert heights == {"reference": 1.0, "naive": 2.0, "lora": 5.0, "seed, untrained": 9.0}


def frame_errors(run: Path, models: dict[str, float]) -> None:
    write_frame_errors(run, {name: [off, 2 * off] for name, off in models.items()})


def test_violins_are_of_the_frames_of_all_seeds(tmp_path: Path) -> None:
    plots = {"fig3": {"kind": "violins", "x": "method"}}
    study = finished(tmp_path, frame_errors, plots=plots)
    study_plots(study)
    found = drawn(tmp_path, "fig3")
    naive = [row for row in found["all"] if row["method"] == "naive"]
    # The picture keeps six digits of the logarithms.
    assert sorted(column(naive, "MAE")) == pytest.approx([1.0, 2.0, 3.0, 6.0], rel=1e-4)
    base = [row for row in found["seed, untrained"] if row["method"] == "naive"]
    one = "one foundation, once in each category"
    assert sorted(column(base, "MAE")) == pytest.approx([9.0, 18.0], rel=1e-4), one


def test_results_without_mean_errors_of_frames_say_so(tmp_path: Path) -> None:
    def old(run: Path, models: dict[str, float]) -> None:
        write_frame_errors(run, {name: [off] for name, off in models.items()}, maes=False)

    plots = {
        "mae": {"kind": "violins", "x": "method"},
        "rmse": {"kind": "violins", "x": "method", "y": "forces_rmse"},
    }
    study = finished(tmp_path, old, plots=plots)
    with pytest.raises(PestleError, match="y: forces_rmse"):
        study_plots(study, names=["mae"])
    assert study_plots(study, names=["rmse"])


def test_the_page_of_a_study_shows_its_plots(tmp_path: Path) -> None:
    study = finished(tmp_path, write_rdf, plots={"g": {"kind": "rdf"}})
    assert 'id="study-g"' in study_page(study).read_text()


def test_means_in_phase_and_out_of_phase(tmp_path: Path) -> None:
    trained = {"Ih": {"data.train_count": 5}, "II": {"data.train_count": 6}}
    phases = {
        "axis": "phase",
        "in": {"Ih": ["test.ice_Ih"], "II": ["test.ice_II"]},
    }
    values = ["in_phase.forces_rmse", "out_of_phase.forces_rmse"]
    study = finished(
        tmp_path,
        None,
        matrix={"phase": trained},
        phases=phases,
        tables={"fig7a": {"rows": ["phase"], "values": values}},
    )
    (table,) = study_tables(study).values()
    figures = {row.name: [cell.mean for cell in row.cells.values()] for row in table.rows}
    # Errors on ice Ih are 10, on ice II 30, whatever was trained on.
    assert figures["Ih"] == [10.0, 30.0] and figures["II"] == [30.0, 10.0]
    assert figures["seed, untrained"] == [BEFORE, BEFORE]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"plots": {"a": {"y": "test.forces_rmse"}}}, "plots.a: has no x"),
        ({"plots": {"a": {"kind": "torsions"}}}, "plots.a.kind"),
        ({"phases": {"axis": "phase", "in": ["test"]}}, "phases.in: does not fit"),
    ],
)
def test_a_plot_that_lacks_something_is_one_line(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(PestleError, match=words):
        read_study(write_study(tmp_path / "s.yaml", **content))
