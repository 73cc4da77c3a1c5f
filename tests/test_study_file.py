"""STUDY.yaml: what a user may write, and which cells come of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pestle.errors import PestleError
from pestle.settings.run_file import read_run_file
from pestle.study.cell_tests import Step
from pestle.study.matrix import combinations
from pestle.study.part import part_of
from pestle.study.plan import Plan, plan
from pestle.study.study_file import read_study
from studies import BASE, DATA, write_study


def planned(folder: Path, given: tuple[str, ...] = (), **content: Any) -> Plan:
    return plan(read_study(write_study(folder / "study.yaml", **content), given))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"tables": {"t": {"values": ["test.force_rmse"]}}}, "'test.forces_rmse'"),
        ({"tables": {"t": {"values": ["foundation.test.water.enrgy_mae"]}}}, "water.energy_mae'"),
        ({"tables": {"t": {"values": ["tets.forces_rmse"]}}}, "'test'"),
        ({"tables": {"t": {"rows": ["methd"], "values": ["test.forces_rmse"]}}}, "'method'"),
        (
            {"tables": {"t": {"columns": ["methd"], "values": ["test.forces_rmse"]}}},
            "study.yaml: tables.t.columns: 'methd'",
        ),
        (
            {"plots": {"p": {"x": "method", "y": "test.forces_rmse", "lines": ["sed"]}}},
            "study.yaml: plots.p.lines: 'sed'",
        ),
        ({"tables": {"t": {"values": ["neb.reactions.a.barrier"]}}}, "probe: {neb"),
        ({"plots": {"p": {"x": "stp", "y": "valid.forces_rmse"}}}, "'step'"),
        ({"plots": {"p": {"x": "method", "y": "test.energy_rms"}}}, "'test.energy_rmse'"),
    ],
)
def test_names_in_tables_and_plots_are_checked_before_anything_is_done(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(PestleError) as error:
        planned(tmp_path, matrix={"method": ["naive", "lora"]}, **content)
    assert words in error.value.line


MATRIX = {
    "method": ["naive", "lora", "scratch"],
    "sample": {
        "small": {"data.train_fraction": 0.1},
        "large": {"data": {"train_fraction": 0.5}, "train.lr": "1e-3"},
    },
    "train.seed": [0, 1],
}


def test_the_matrix_has_the_cells_that_one_counts_by_hand() -> None:
    assert len(list(combinations(MATRIX))) == 3 * 2 * 2
    excluded = [{"method": "scratch", "sample": "small"}, {"method": "lora", "train.seed": [1]}]
    # scratch/small: 2 seeds; lora with seed 1: 2 samples.
    assert len(list(combinations(MATRIX, exclude=excluded))) == 12 - 2 - 2
    more = [{"method": "freeze-first", "sample": ["small", "large"], "train.lr": [1e-4, 1e-2, 1]}]
    cells = list(combinations(MATRIX, more, excluded))
    assert len(cells) == 8 + 2 * 3
    large = [cell for cell in cells if cell["sample"].shown == "large"]
    assert all(cell["sample"].settings["train.lr"] == 1e-3 for cell in large)
    assert list(combinations({})) == [{}]


@pytest.mark.parametrize(
    ("only", "number"),
    [
        (["method=lora"], 4),
        (["sample=large", "train.seed=0"], 3),
        (["method=lora", "method=scratch", "train.seed=1"], 4),
        (["train.lr=1e-4"], 2),  # of an included matrix; as in YAML, or as tables show it
        (["train.lr=0.0001", "train.lr=0.01"], 4),
    ],
)
def test_cells_are_chosen_by_the_values_of_their_axes(
    tmp_path: Path, only: list[str], number: int
) -> None:
    more = [{"method": "freeze-first", "sample": ["small", "large"], "train.lr": [1e-4, 1e-2]}]
    base = {**BASE, "train": {"updates": 2}}
    matrix = {**MATRIX, "sample": {"small": {"data.train_count": 9}, "large": {}}}
    record = planned(tmp_path, base=base, matrix=matrix, include=more).record
    chosen = part_of(record, only).cells
    assert len(chosen) == number and all(cell in record.cells for cell in chosen)


def test_a_cell_has_the_settings_of_its_axes(tmp_path: Path) -> None:
    found = planned(tmp_path, ("train.updates=7",), matrix=MATRIX)
    cell = next(
        c for c in found.cells
        if c.axes == {"method": "lora", "sample": "large", "train.seed": 1}
    )  # fmt: skip
    assert cell.settings.method == "lora" and cell.settings.train.seed == 1
    assert cell.settings.data.train_fraction == 0.5 and cell.settings.train.lr == 1e-3
    assert cell.settings.train.updates == 7, "typed for every run"
    assert cell.name.startswith("lora-large-seed1-")
    assert found.record.seeds == ("train.seed",)


def test_a_cell_is_known_by_what_it_is_made_of(tmp_path: Path) -> None:
    shutil.copy(DATA / "train.xyz", tmp_path / "mine.xyz")
    matrix = {"data.train": [["mine.xyz"]], "method": ["naive"]}

    def name(**more: Any) -> str:
        (cell,) = planned(tmp_path, matrix=matrix, **more).cells
        return cell.name

    first = name()
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "mine.xyz", tmp_path / "elsewhere" / "other.xyz")
    moved = planned(tmp_path, matrix={**matrix, "data.train": [["elsewhere/other.xyz"]]})
    assert moved.cells[0].name[-10:] == first[-10:], "where the data lie does not matter"
    threads = {**BASE, "train": {**BASE["train"], "threads": 1, "device": "cpu"}}
    assert name(base=threads) == first, "nor where it is calculated"
    assert name(qualify={"scope": "narrow"}) == first, (
        "nor how it is tested: it is not trained anew"
    )
    longer = {**BASE, "train": {"updates": 3}}
    assert name(base=longer) != first
    with (tmp_path / "mine.xyz").open("a") as stream:
        stream.write((DATA / "test.xyz").read_text())
    assert name() != first, "other data are another run"


def test_a_name_that_stands_twice_is_not_passed_over(tmp_path: Path) -> None:
    """YAML takes the last one: a whole axis or half of it would be lost without a word."""
    file = tmp_path / "study.yaml"
    file.write_text("matrix:\n  rate:\n    low: {train.lr: 1e-5}\n    low: {train.lr: 1e-4}\n")
    with pytest.raises(PestleError, match=r"study.yaml: matrix.rate.low: .*lines 3 and 4") as error:
        read_study(file)
    assert "\n" not in error.value.line
    file.write_text("base: &all {log: {}, data: *all}\n")
    assert set(read_run_file(file)["base"]) == {"log", "data"}, "a mapping within itself has an end"


def test_what_version_0_2_0_measured_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("plan", "cell_tests"):
        monkeypatch.setattr(f"pestle.study.{part}.__version__", "0.2.0")
    (tmp_path / "path.xyz").write_text("frames")
    probe = {"neb": {"data": ["path.xyz"], "set": {"neb.images": 5}}, "rdf": {"dtype": "float32"}}
    content = {"matrix": {"train.seed": [3]}, "qualify": {"scope": "narrow"}, "probe": probe}
    (cell,) = planned(tmp_path, **content).cells
    # Keys as that version made them; those of tests do not hold the settings of the run.
    tests = {step.name: step.key[:10] for step in cell.steps[1:]}
    assert tests == {
        "qualify": "9f229a69b2",
        "probe neb": "6163d2f946",
        "probe rdf": "ce5f86f6a7",
    }
    made_of = cell.settings.model_dump(mode="json")
    del made_of["log"]
    for name in ("device", "threads", "checkpoint_seconds"):
        del made_of["train"][name]
    for name in ("train", "valid", "test"):
        content_of = (DATA / f"{name}.xyz").read_bytes()
        made_of["data"][name] = [hashlib.sha256(content_of).hexdigest()]
    text = json.dumps(["finetune", "0.2.0", made_of], sort_keys=True)
    assert cell.name == f"seed3-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def test_a_file_that_a_setting_of_a_test_names_counts_by_its_content(tmp_path: Path) -> None:
    def step(text: str | None = None, **settings: Any) -> Step:
        if text is not None:
            (tmp_path / "rdf.csv").write_text(text)
        probe = {"rdf": {"set": {"rdf.time": 1, **settings}}}
        return planned(tmp_path, probe=probe).cells[0].steps[1]

    first = step("r,Cl-O", **{"rdf.reference": "rdf.csv"})
    place = json.dumps([str(tmp_path / "rdf.csv")])
    assert f"rdf.reference={place}" in first.arguments, "from the folder of the study"
    shutil.copy(tmp_path / "rdf.csv", tmp_path / "same.csv")
    assert step(**{"rdf.reference": ["same.csv"]}).key == first.key, "wherever it lies"
    assert step("r,Na-O", **{"rdf.reference": "rdf.csv"}).key != first.key
    assert step(**{"rdf.trajectory": "same.csv"}).key != first.key, "another setting"
    with pytest.raises(PestleError, match="no such file"):
        step(**{"rdf.reference": "none.csv"})
    # Not every list of texts is one of files.
    assert 'rdf.pairs=["Cl-O"]' in step(**{"rdf.pairs": ["Cl-O"]}).arguments


def test_variables_come_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"train": ["${root}/train.xyz"], "valid": ["${root}/${which}.xyz"]}
    content: dict[str, Any] = {
        "paths": {"root": None, "which": "valid"},
        "base": {**BASE, "data": data},
    }
    with pytest.raises(PestleError, match=r"root has no value.*--set root="):
        planned(tmp_path, **content)
    (cell,) = planned(tmp_path, (f"root={DATA}",), **content).cells
    assert cell.settings.data.valid == [str(DATA / "valid.xyz")]
    monkeypatch.setenv("root", str(DATA))
    (cell,) = planned(tmp_path, ("which=/x", f"which={DATA}/test"), **{
        **content, "base": {**BASE, "data": {**data, "valid": ["${which}.xyz"]}}
    }).cells  # fmt: skip
    assert cell.settings.data.valid == [str(DATA / "test.xyz")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"matrx": {}}, "matrx.*Did you mean 'matrix'"),
        ({"qualify": {"scop": "narrow"}}, "qualify.scop.*Did you mean 'scope'"),
        ({"qualify": {"scope": "wide"}}, "qualify.scope"),
        ({"qualify": {"set": {"md.tme": 1}}}, "md.tme.*Did you mean 'md.time'"),
        ({"probe": {"md": {"set": {"md": {"time": 1}}}}}, "md.*no such setting.*md.time"),
        ({"qualify": {"with": ["mdd"]}}, "no protocol 'mdd'"),
        ({"probe": {"rsss": {}}}, "Did you mean 'rss'"),
        ({"matrix": {"train.sed": [0]}}, "train.sed.*Did you mean 'train.seed'"),
        ({"matrix": {"train.seed": []}}, "study.yaml: matrix.train.seed: has no values"),
        ({"matrix": {"train.seed": [1, 1]}}, "study.yaml: matrix.train.seed: names 1 twice"),
        ({"matrix": {"train.lr": ["1e-4", 0.0001]}}, "matrix.train.lr: names 0.0001 twice"),
        ({"matrix": None}, "study.yaml: matrix: is empty"),
        ({"include": [{"train.seed": [2, 2]}]}, "study.yaml: include.0.train.seed: names 2 twice"),
        ({"matrix": {"a": {"x": {"train.lrr": 1}}}}, "train.lrr.*Did you mean 'train.lr'"),
        ({"matrix": {"method": ["niave"]}}, "niave"),
        ({"matrix": {"train.lr": [-1]}}, "train.lr.*greater than 0"),
        ({"matrix": {"method": ["lora"]}, "exclude": [{"methd": "lora"}]},
         "study.yaml: exclude.0.methd: .*Did you mean 'method'"),
        ({"matrix": {"method": ["lora"]}, "exclude": [{"method": "naive"}]}, "no value naive"),
        ({"matrix": {"method": ["lora"]}, "exclude": [{"method": "lora"}]},
         "study.yaml: exclude: leaves no cell"),
        (
            {"matrix": {"a": {"x": {"method": "lora"}}, "method": ["naive"]}},
            "method: two axes set it",
        ),
        ({"base": {**BASE, "foundation": "pestle-seed9"}}, "no foundation.*pestle-seed"),
        ({"base": {**BASE, "data": {"train": ["no.xyz"]}}}, "no such file"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_it(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(PestleError, match=words) as error:
        planned(tmp_path, **content)
    assert "\n" not in error.value.line
