"""What a Python session and a notebook see: names, results as objects, their views."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pestle
from pestle.jobs.finetune.result import Plan
from pestle.views import Table

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorials" / "from_data_to_verdict.ipynb"
DATA = Path(pestle.__file__).parent / "demo" / "data"
TASK = {
    "foundation": "pestle-seed1",
    "method": "naive",
    "data.train": [str(DATA / "train.xyz")],
    "data.valid": [str(DATA / "valid.xyz")],
    "data.test": [str(DATA / "test.xyz")],
    "train.updates": 4,
    "train.threads": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pestle.Run:
    return pestle.finetune(TASK, tmp_path_factory.mktemp("runs") / "mine")


def test_tab_shows_the_functions():
    assert {"finetune", "qualify", "check", "load", "evaluate", "Run"} <= set(dir(pestle))
    assert not {"jobs", "importlib", "annotations"} & set(dir(pestle))


def test_every_name_has_an_example():
    for name in set(pestle.__all__) - {"PestleError"}:
        assert ">>> " in (getattr(pestle, name).__doc__ or ""), name


def test_the_names_cost_nothing_before_they_are_used():
    code = "import pestle, sys; dir(pestle); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_an_object(run: pestle.Run):
    again = pestle.Run(run.folder)
    assert again.to_json() == run.to_json()
    assert "naive" in repr(run) and str(run.folder) in repr(run) and len(repr(run)) < 300
    found = run.errors["test"]
    evaluated = pestle.evaluate(str(run.folder), [str(DATA / "test.xyz")])
    tuned = next(errors for name, errors in found.items() if "foundation" not in name)
    assert evaluated["all"].forces_rmse == pytest.approx(tuned["all"].forces_rmse, rel=1e-3)
    assert run.verdict is None


def test_the_calculator_of_a_run_is_that_of_its_model(run: pestle.Run):
    from ase.io import read

    atoms = read(DATA / "test.xyz")
    ours, theirs = run.calculator(), pestle.load(run.folder).calculator()
    np.testing.assert_array_equal(ours.get_forces(atoms), theirs.get_forces(atoms))


def test_a_notebook_sees_the_errors_and_the_curve(run: pestle.Run):
    page = run._repr_html_()
    assert page.count("<table") == len(run.errors)
    assert "next: " in page
    assert len(run.plot().data) > 0
    points = run.plot().data[0]
    assert next(iter(points.x)) == 0


def test_a_dry_run_is_a_plan(tmp_path: Path):
    plan = pestle.finetune(TASK, tmp_path / "run", dry_run=True)
    assert isinstance(plan, Plan) and not (tmp_path / "run").exists()
    assert "4 updates" in repr(plan) and "train.updates" in plan._repr_html_()


def test_a_check_tells_the_findings():
    report = pestle.check([str(DATA / "train.xyz")])
    assert "60 train frames" in repr(report)
    assert len(repr(report)) < 200
    for finding in report.findings:
        assert finding.code in report._repr_html_()


def test_reference_energies_in_a_line():
    found = pestle.e0([str(DATA / "train.xyz")], method="isolated")
    assert "Cl -12505.1038" in repr(found)
    assert found.to_json()["compared"].keys() == found.compared.keys()


def test_views_escape_what_comes_from_files():
    table = Table("<b>", ["<i>"], [["<script>"]])
    assert "<script>" not in table.html() and "<b>" not in table.html()


def test_figures_stand_on_the_right():
    html = Table("", ["name", "value"], [["a", "1"]], figures=1).html()
    assert "text-align:left'>a<" in html and "text-align:right'>1<" in html


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(pestle.PestleError, match="run"):
        pestle.Run(tmp_path)


def test_torch_sim_takes_a_run(run: pestle.Run):
    import torch_sim as ts
    from ase.io import read

    atoms = read(DATA / "test.xyz")
    model = pestle.torch_sim_model(run.folder)
    state = ts.io.atoms_to_state([atoms], model.device, model.dtype)
    energy = run.calculator().get_potential_energy(atoms)
    assert float(model(state)["energy"][0]) == pytest.approx(energy, abs=1e-4)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every cell of docs/from_data_to_verdict.ipynb, and the view of what each ends with."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        code = ast.parse("".join(cell["source"]).replace('"train.epochs": 10', '"train.epochs": 1'))
        last = code.body[-1]
        if isinstance(last, ast.Expr):
            code.body.pop()
        exec(compile(code, str(NOTEBOOK), "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names))
    views = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len(views) == len(shown) - 1  # the forces are an array
    assert "barrier" in views[-1]


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_needs_no_list(kind: type, run: pestle.Run, tmp_path: Path):
    """A text was read letter by letter: `/: is a folder`."""
    test = kind(DATA / "test.xyz")
    report = pestle.check(test)
    assert report.to_json() == pestle.check([str(test)]).to_json()
    assert (
        pestle.evaluate(run.folder, test).to_json()
        == pestle.evaluate(str(run.folder), [str(test)]).to_json()
    )
    assert pestle.e0(test, method="average").chosen.e0s
    assert pestle.label(test, tmp_path / "l.xyz", model="pestle-seed1").made
    assert pestle.probe("errors", run.folder, data=test, out=tmp_path / "errors").findings
    assert pestle.replay(test, test, out=tmp_path / "r.xyz", count=3)
    settings = {"foundation": "pestle-seed1", "data.train": test, "data.valid_fraction": 0.2}
    assert isinstance(pestle.finetune(settings, tmp_path / "x", dry_run=True), Plan)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(pestle.PestleError, match="no such folder"):
        pestle.Run(tmp_path / "nope")


def test_a_folder_of_seeds_is_its_members(run: pestle.Run, tmp_path: Path):
    two = tmp_path / "two"
    for name in ("seed-0", "seed-10", "seed-2"):
        shutil.copytree(run.folder, two / name)
    with pytest.raises(pestle.PestleError, match="seed-0, seed-2, seed-10"):
        pestle.Run(two)
    with pytest.raises(pestle.PestleError, match="seed-0, seed-2, seed-10"):
        pestle.evaluate(two, DATA / "test.xyz")
    committee = pestle.load(two)
    names = [Path(name).name for name in committee.names]
    assert names == ["seed-0", "seed-2", "seed-10"]
    assert [Path(n) for n in pestle.load([two, run.folder]).names][3] == run.folder
    for twice in ([two, two / "seed-2"], [run.folder, str(run.folder)]):
        with pytest.raises(pestle.PestleError, match="named twice"):
            pestle.load(twice)
    assert len(pestle.gather([two, run.folder]).to_json()["rows"]) > 1
    assert "seed-10" in pestle.report(two, tmp_path / "page.html").read_text()


def test_a_repr_tells_what_there_is(run: pestle.Run, tmp_path: Path):
    model = pestle.load(run.folder)
    assert "\n" not in repr(model)
    assert all(word in repr(model) for word in ("mace", "82 elements", "Default", "float"))
    said = repr(run.errors)
    assert "meV/Å" in said and "foundation" in said
    assert not re.search(r"\d\.\d{7}", said) and not re.search(r"\d\.\d{7}", repr(dict(run.errors)))
    again = shutil.copytree(run.folder, tmp_path / "again")
    said = repr(pestle.gather([run.folder, again]))
    assert "again" in said and "meV/Å" in said and "force RMSE" in said
    assert "pestle-seed1" in repr(pestle.models()) and "Foundation models" in repr(pestle.models())
