"""Several runs as one table: rows, means and spreads by hand, and what is called best."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from pestle.protocols.raw import set_digest
from pestle.records.gathered import Gathered, Row
from pestle.reports.gathering.files import csv_of, escaped, latex_of
from pestle.reports.gathering.gather import gather
from pestle.reports.gathering.sameness import distinct_names
from pestle.reports.gathering.shown import blocks_of, text_of, with_spread
from pestle.structures.frame import Frame
from report_folders import write_protocol
from several_runs import BEFORE, make_run

FORCES = "test.all.forces_rmse"


def _best(found: Gathered, key: str = FORCES) -> list[str]:
    return [row.name for row in found.rows if key in row.cells and row.cells[key].best]


def _names(found: Gathered) -> list[str]:
    return [row.name for row in found.rows if row.kind == "runs"]


def _row(found: Gathered, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


# -- one row of several seeds --------------------------------------------------------------------
def test_runs_that_differ_by_seed_alone_are_one_row_with_mean_and_deviation(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / f"naive-{seed}", forces, seed=seed, steps=steps, converged=seed != 2)
        for seed, forces, steps in ((0, 40.0, 600), (1, 42.0, 700), (2, 47.0, 650))
    ]
    found = gather([*folders, make_run(tmp_path / "lora-0", 50.0, method="lora")])
    assert _names(found) == ["naive", "lora-0"]
    row = _row(found, "naive")
    assert row.seeds == (0, 1, 2)
    cell = row.cells[FORCES]
    # 43 ± √((3² + 1² + 4²) / 2)
    assert (cell.mean, cell.n) == (43.0, 3)
    assert cell.deviation == pytest.approx(math.sqrt(13))
    assert row.cells["test.all.energy_mae"].mean == pytest.approx(0.215)
    assert row.cells["updates"].mean == 650
    assert row.cells["train.frames"].mean == 20  # five isolated atoms are left out
    columns = {column.key: column for column in found.columns}
    assert text_of(row, columns[FORCES]) == "43.0 ± 3.6"
    assert text_of(row, columns["updates"]) == "650 ± 50"
    assert text_of(row, columns["train.frames"]) == "20"
    assert text_of(row, columns["converged"]) == "2 of 3"
    assert row.settings == {"method": "naive"}
    assert text_of(_row(found, "lora-0"), columns[FORCES]) == "50.0"


@pytest.mark.parametrize(
    ("one", "other", "rows"),
    [
        ({}, {}, 1),
        ({}, {"settings": {"train.threads": 8, "log.tensorboard": True}}, 1),
        ({}, {"settings": {"train.clip": 3.0}}, 2),
        ({}, {"files": "another file"}, 2),
        ({}, {"device": "cuda:0"}, 2),
        ({"device": "cuda:0"}, {"device": "cuda:1"}, 1),
        # A default of this version, which the other run does not know yet.
        ({}, {"settings": {"keep.l2sp": None}}, 1),
        ({}, {"settings": {"keep.l2sp": 0.1}}, 2),
        # Each seed probes another rate: what was asked for is the same.
        ({"probed": 1e-3}, {"probed": 1.2e-3}, 1),
        ({"settings": {"train.lr": 1e-3}}, {"settings": {"train.lr": 1.2e-3}}, 2),
    ],
)
def test_what_makes_another_row(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], rows: int
) -> None:
    """Paths count for nothing: the files are told by their hashes."""
    first = make_run(tmp_path / "here" / "run-0", 40.0, seed=0, **one)
    second = make_run(tmp_path / "there" / "run-1", 42.0, seed=1, **other)
    assert len(_names(gather([first, second]))) == rows


def test_the_same_seed_again_is_a_repetition_and_no_second_seed(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / k / "naive", 40.0, seed=0) for k in "ab"]
    found = gather(folders)
    assert _names(found) == ["a/naive", "b/naive"]
    assert all(row.cells[FORCES].deviation is None for row in found.rows)


def test_a_run_without_errors_is_counted_and_named(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / "naive-0", 40.0, seed=0),
        make_run(tmp_path / "naive-1", 44.0, seed=1),
        make_run(tmp_path / "naive-2", None, seed=2),
    ]
    found = gather(folders)
    row = _row(found, "naive")
    assert row.cells[FORCES].values == (40.0, 44.0, None)
    column = next(column for column in found.columns if column.key == FORCES)
    assert text_of(row, column) == "42.0 ± 2.8 (2 of 3)"
    assert any("naive-2" in note for note in found.notes)


def test_rows_that_would_look_alike_are_told_apart(tmp_path: Path) -> None:
    """A setting that nobody asked for is shown where nothing else differs, and else in a note."""
    one = make_run(tmp_path / "one", 40.0, probed=None)
    two = make_run(tmp_path / "two", 41.0, device="cuda")
    found = gather([one, two])
    assert [c.key for c in found.columns if c.about == "settings"] == ["device"]
    three = make_run(tmp_path / "three", 42.0, method="lora", device="cuda")
    found = gather([one, three])
    assert [c.key for c in found.columns if c.about == "settings"] == ["method"]
    assert any("device" in note for note in found.notes)


def test_names_of_rows(tmp_path: Path) -> None:
    def names(*wanted: tuple[str, str, int]) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        found = [
            make_run(folder / name, 40.0, seed=seed, method=method) for name, method, seed in wanted
        ]
        return _names(gather(found))

    assert names(("ewc-0.1-1", "lora", 1), ("ewc-0.1-2", "lora", 2)) == ["ewc-0.1"]
    assert names(("naive-10", "naive", 1), ("naive-11", "naive", 2)) == ["naive"]
    assert names(("a/seed1", "naive", 1), ("b/seed2", "naive", 2)) == ["seed1 (2 seeds)"]
    both = names(("x-1", "naive", 1), ("x-2", "naive", 2), ("x", "lora", 0))
    assert both == ["x (2 seeds)", "x"]
    paths = [Path("/a/one/naive"), Path("/a/two/naive"), Path("/b/lora"), Path("/c/two/naive")]
    assert distinct_names(paths) == ["one/naive", "a/two/naive", "lora", "c/two/naive"]


# -- what is best --------------------------------------------------------------------------------
def test_members_of_several_seeds_are_called_by_their_folder(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "two" / f"seed-{seed}", 40.0 + seed, seed=seed)
    other = make_run(tmp_path / "one", 30.0, settings={"train.lr": 0.1})
    members = [tmp_path / "two" / "seed-0", tmp_path / "two" / "seed-1"]
    found = gather([*members, other])
    assert _names(found)[:2] == ["two", "one"]
    assert "seed-0" not in latex_of(found)


def _two(tmp_path: Path, one: list[float], other: list[float], **of_other: Any) -> Gathered:
    folders = [
        make_run(tmp_path / f"{method}-{seed}", forces, seed=seed, method=method, **more)
        for method, values, more in (("naive", one, {}), ("lora", other, of_other))
        for seed, forces in enumerate(values)
    ]
    return gather(folders)


def test_the_best_of_equal_frames_is_marked_beyond_its_spread(tmp_path: Path) -> None:
    # 41 ± 1.41 and 51 ± 1.41: a difference of 10 beyond 2.
    assert _best(_two(tmp_path / "far", [40.0, 42.0], [50.0, 52.0])) == ["naive"]
    # 42 ± 2.83 and 44 ± 1.41: a difference of 2 within 3.16.
    assert _best(_two(tmp_path / "near", [40.0, 44.0], [43.0, 45.0])) == []
    # A single seed beside several: the spread that is known counts.
    assert _best(_two(tmp_path / "one", [40.0, 44.0], [43.0])) == []
    assert _best(_two(tmp_path / "single", [40.0], [43.0])) == ["naive-0"]
    assert _best(_two(tmp_path / "same", [40.01], [40.02])) == ["naive-0", "lora-0"]


def test_other_frames_take_the_mark_away(tmp_path: Path) -> None:
    found = _two(tmp_path, [40.0, 42.0], [50.0, 52.0], frames="other frames")
    assert _best(found) == []
    assert any("Not all rows were judged on the same test frames" in n for n in found.notes)
    block = next(block for block in blocks_of(found) if block.key == "errors-test")
    assert block.lead["frames"] == ("7 a", "7 b", "7 a", "7 b")  # of the foundations as well


def test_one_seed_on_other_frames_takes_its_row_out(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"naive-{k}", 40.0 + k, seed=k, frames=str(k)) for k in (0, 1)]
    found = gather([*folders, make_run(tmp_path / "lora", 50.0, method="lora", frames="0")])
    assert _row(found, "naive").judged_on["test"].frames is None
    assert _best(found) == []


def test_a_third_row_on_other_frames_leaves_the_first_two_comparable(tmp_path: Path) -> None:
    found = gather(
        [
            make_run(tmp_path / "naive", 40.0),
            make_run(tmp_path / "lora", 50.0, method="lora"),
            make_run(tmp_path / "scratch", 10.0, method="scratch", frames="easier"),
        ]
    )
    assert _best(found) == ["naive"]


def test_a_foundation_may_be_the_best_and_a_single_run_is_never(tmp_path: Path) -> None:
    one = make_run(tmp_path / "naive", 40.0, before=30.0)
    two = make_run(tmp_path / "lora", 50.0, method="lora", before=30.0)
    assert _best(gather([one, two])) == ["seed (E0s: isolated)"]
    assert _best(gather([one])) == []


def test_results_without_hashes_are_the_same_where_their_files_are(tmp_path: Path) -> None:
    """As earlier versions wrote them. A later test of other frames under the same name is found out
    by its errors, which are not those that the run itself found."""
    old = {"frames": None}
    one = make_run(tmp_path / "naive", 40.0, **old)
    two = make_run(tmp_path / "lora", 50.0, method="lora", **old)
    assert _best(gather([one, two])) == ["naive"]
    three = make_run(tmp_path / "other", 60.0, method="scratch", files="other", **old)
    assert _best(gather([one, three])) == []
    four = make_run(tmp_path / "again", 60.0, method="scratch", own_errors=61.0, **old)
    assert _best(gather([one, four])) == []
    # A run of this version knows both hashes.
    five = make_run(tmp_path / "new", 30.0, method="scratch")
    assert _best(gather([one, two, five])) == ["new"]


def test_the_hash_of_a_set_is_of_structures_and_labels_not_of_their_order() -> None:
    def frame(x: float, energy: float) -> Frame:
        return Frame(Atoms("H2", [[0, 0, 0], [0, 0, x]]), energy=energy, forces=np.zeros((2, 3)))

    frames = [frame(0.7, -1.0), frame(0.8, -1.1)]
    assert set_digest(frames) == set_digest(frames[::-1])
    assert set_digest(frames) != set_digest([frame(0.7, -1.0), frame(0.8, -1.2)])
    assert set_digest(frames) != set_digest([*frames, frames[0]])


# -- what else is compared -----------------------------------------------------------------------
def test_each_foundation_stands_once(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"naive-{k}", 40.0 + k, seed=k) for k in range(2)]
    folders.append(make_run(tmp_path / "lora", 50.0, method="lora"))
    found = gather(folders)
    bases = [row for row in found.rows if row.kind == "foundation"]
    assert [row.name for row in bases] == ["seed (E0s: isolated)"]
    assert (bases[0].cells[FORCES].mean, bases[0].cells[FORCES].deviation) == (BEFORE, None)


def test_groups_where_asked(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "naive", 40.0, groups={"md300": 30.0, "scan": 55.0})
    assert all(column.group in ("", "all") for column in gather([folder]).columns)
    found = gather([folder], groups=True)
    assert _row(found, "naive").cells["test.scan.forces_rmse"].mean == 55.0


def test_cost_drift_forgetting_and_verdict(tmp_path: Path) -> None:
    levels = ("pass", "pass", "fail")
    folders = [
        make_run(
            tmp_path / f"naive-{k}", 40.0 + k, seed=k, level=level, share=0.1 * (k + 1),
            device="cuda:0", cpu_seconds=55.0, seconds=60.0 + k,
        )
        for k, level in enumerate(levels)
    ]  # fmt: skip
    moved = {"n_frames": 9, "forces_rmse": 120.0, "forces_share": 0.1}
    for folder in folders:
        potential = {"fine-tuned": {"against_labels": None, "against_foundation": {"all": moved}}}
        write_protocol(folder, "forgetting", numbers={"potentials": potential},
                       candidate="fine-tuned")  # fmt: skip
    found = gather(folders)
    cells = _row(found, "naive").cells
    assert cells["verdict"].text == "fail 1 of 3, pass 2 of 3 (broad)"
    assert cells["verdict"].level == "fail"
    share = cells["forgetting.forgetting figure"]
    assert (share.mean, share.deviation) == (pytest.approx(0.2), pytest.approx(0.1))
    assert share.level == "fail"
    assert cells["forgetting.foundation"].mean == 120.0
    assert (cells["cost.wall"].mean, cells["cost.gpu"].mean) == (61.0, 61.0)
    assert cells["cost.cpu"].mean == 55.0
    cpu = gather([make_run(tmp_path / "cpu", 40.0)])
    assert "cost.gpu" not in {column.key for column in cpu.columns}


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (40.7501, 0.1547, "40.75 ± 0.15"),
        (0.7671, 0.1037, "0.77 ± 0.10"),
        (1646.7, 216.5, "1,647 ± 216"),
        (447.91, 9.96, "448 ± 10"),
        (-0.5, 0.02, "−0.500 ± 0.020"),
        (3.14159e-5, 2e-6, "(3.14 ± 0.20)×10⁻⁵"),
        (2.5, 0.0, "2.50"),
        (2.5, None, "2.50"),
        (None, None, "—"),
    ],
)
def test_digits_fit_the_spread(mean: float | None, deviation: float | None, text: str) -> None:
    assert with_spread(mean, deviation) == text


# -- files ---------------------------------------------------------------------------------------
def test_csv_holds_all_digits_with_units_in_the_heads(tmp_path: Path) -> None:
    values = (40.0 + 1 / 3, 41.0)
    folders = [make_run(tmp_path / f"a,b-{k}", v, seed=k) for k, v in enumerate(values)]
    text = csv_of(gather([*folders, make_run(tmp_path / "lora", 50.0, method="lora")]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["row"] for row in rows] == ["a,b", "lora", "seed (E0s: isolated)"]
    assert float(rows[0][f"{FORCES} (meV/Å)"]) == pytest.approx(np.mean(values), rel=1e-15)
    deviation = float(rows[0][f"{FORCES} sd (meV/Å)"])
    assert deviation == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert (rows[0][f"{FORCES} n"], rows[0]["seeds"]) == ("2", "0;1")
    assert rows[1][f"{FORCES} sd (meV/Å)"] == ""
    assert rows[0]["test frames"] == rows[1]["test frames"] != ""
    assert rows[0]["method"] == "naive"


def test_latex_is_a_table_that_compiles(tmp_path: Path) -> None:
    one = make_run(tmp_path / "50%_a&b #1", 40.0, settings={"keep.ewc": 0.1})
    two = make_run(tmp_path / "lora", 1234.5, method="lora")
    text = latex_of(gather([one, two]))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 2
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert r"50\%\_a\&b \#1" in text
    assert r"(meV/\AA{})" in text and r"keep.ewc" in text
    assert r"$\mathbf{40.0}$" in text and "$1{,}234$" in text
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = len(re.match(r"\{([lr]+)\}", table)[1])  # type: ignore[index]
        lines = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}
    # Nothing is left that LaTeX would take for a command, or that its fonts lack.
    assert re.sub(r"\\[a-zA-Z]+|\\[&%#_${}]", "", text).isascii()


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b^c~\\", r"a\_b\textasciicircum{}c\textasciitilde{}\textbackslash{}"),
        ("meV/Å³ ± 2", r"meV/\AA{}$^{3}$ $\pm$ 2"),
        ("F⁻ + CO₂ {x} <1", r"F$^{-}$ + CO$_{2}$ \{x\} \textless{}1"),
        ("$x$", r"\$x\$"),
    ],
)
def test_latex_escapes(text: str, latex: str) -> None:
    assert escaped(text) == latex


def test_the_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    found = gather([make_run(tmp_path / "a", 40.0), make_run(tmp_path / "b", 41.0, seed=1)])
    assert Gathered.of(found.in_file(), "table.json") == found
    assert found.in_file()["format"] == 1
