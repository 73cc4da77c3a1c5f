"""Several runs on one page and by `pestle report`: rows, plots, links, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pestle
from pestle.cli import app
from pestle.errors import PestleError
from pestle.records.gathered import Gathered
from pestle.reports import write_report
from pestle.reports.gathering.sameness import distinct_names
from pestle.reports.gathering.shown import blocks_of, text_of
from pestle.reports.gathering.terminal import terminal_tables
from report_folders import make_results
from report_page import Page
from several_runs import make_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two seeds of naive, one with a report of its own, and two other methods."""
    folder = tmp_path / "runs"
    naive = [
        make_run(folder / "naive & co-0", 48.4, level="fail", share=0.9),
        make_run(folder / "naive & co-1", 48.8, seed=1, level="fail", share=0.7),
    ]
    replay = make_run(folder / "replay", 59.6, method="pseudolabel", level="pass", share=0.05)
    write_report(replay)
    return [*naive, replay, make_run(folder / "scratch", 75.1, method="scratch")]


@pytest.fixture
def page(runs: list[Path], tmp_path: Path) -> Page:
    return Page(pestle.report(runs, tmp_path / "pages" / "all.html").read_text())


def _traces(figure: dict[str, Any]) -> dict[str, Any]:
    return {trace["name"]: trace for trace in figure["data"] if "name" in trace}


def test_runs_side_by_side(page: Page) -> None:
    heads = next(r for r in page.rows if r["table"] == "runs")["cells"]
    assert [cell["text"] for cell in heads] == ["Run", "Verdict", "seeds", "method"]
    assert "training frames: 20; updates: 600; converged: yes" in page.text()  # equal in all
    assert page.cells("runs", "naive & co")[1:4] == ["✕ FAIL broad", "2", "naive"]
    assert page.cells("runs", "scratch")[1] == "not qualified yet"
    assert page.cells("errors-test", "naive & co")[1:] == [
        "2", "0.4860 ± 0.0028", "0.2430 ± 0.0014", "48.60 ± 0.28", "24.30 ± 0.14",
    ]  # fmt: skip
    assert page.cells("errors-test", "seed (E0s: isolated)")[4] == "454"
    best = [r["cells"][0]["text"] for r in page.rows for c in r["cells"] if "best" in c["class"]]
    assert best == ["naive & co"] * 4
    assert page.cells("tests-table", "Forgetting")[2:4] == [
        "80 ± 14 % of the RMS force✕ FAIL", "5 % of the RMS force✓ PASS",
    ]  # fmt: skip


def test_every_section_opens_and_is_in_the_index(page: Page) -> None:
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    links = [a["href"] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")]
    assert links == [f"#{name}" for name in sections]
    assert sections == ["errors", "plots", "breadth-and-cost", "tests", "verdicts"]
    opening = [attributes for tag, attributes in page.tags if tag == "details"]
    assert ["open" in attributes for attributes in opening] == [True, False, False, False, False]


def test_learning_curves_and_bars_of_all_runs(page: Page) -> None:
    figures = {figure["layout"]["yaxis"]["title"]["text"]: figure for figure in page.data.values()}
    curves = figures["force RMSE, validation (meV/Å)"]["data"]
    assert [trace["name"] for trace in curves].count("naive &amp; co") == 2  # a line for each seed
    assert len({t["line"]["color"] for t in curves}) == 3
    assert sum(t["showlegend"] for t in curves) == 3
    bars = _traces(figures["force RMSE (meV/Å)"])
    assert bars["run"]["y"] == [48.6, 59.6, 75.1]
    assert bars["run"]["error_y"]["array"] == [pytest.approx(0.282843), None, None]
    assert bars["foundation"]["y"] == [454.0] * 3
    learnt = _traces(figures["forgetting figure<br>(of the RMS force)"])
    naive = learnt["naive &amp; co"]
    assert (naive["x"], naive["y"]) == ([48.4, 48.8], [0.9, 0.7])
    assert "scratch" not in learnt


def test_links_lead_to_the_reports_that_are_there(runs: list[Path], tmp_path: Path) -> None:
    write_report(runs[0])
    out = pestle.report(runs, tmp_path / "pages" / "all.html")
    links = [
        a["href"] for tag, a in Page(out.read_text()).tags if tag == "a" and ".html" in a["href"]
    ]
    assert links == ["../runs/naive%20%26%20co-0/report.html", "../runs/replay/report.html"]


def test_one_folder_gives_its_own_report(tmp_path: Path) -> None:
    results = make_results(tmp_path / "qualify-naive")
    assert pestle.report(results) == results / "report.html"
    assert pestle.report([results], results / "other.html") == results / "other.html"


def test_mistakes_are_one_line(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folders, out, words in (
        ([], None, "no folder is given"),
        ([tmp_path / "nowhere"], None, "no such folder"),
        ([runs[0], tmp_path / "empty"], None, "neither a run nor results"),
        ([runs[0], runs[0]], None, "named twice"),
        (runs, runs[2] / "report.html", "the report of one of the runs"),
        (runs, tmp_path, "is a folder"),
    ):
        before = (runs[2] / "report.html").read_bytes()
        with pytest.raises(PestleError, match=words) as found:
            pestle.report(folders, out)
        assert "\n" not in found.value.line
        assert (runs[2] / "report.html").read_bytes() == before


def test_a_table_is_written_over_a_table_alone(runs: list[Path], tmp_path: Path) -> None:
    data = tmp_path / "train.xyz"
    data.write_text("2\n\nH 0 0 0\nH 0 0 1\n")
    for option in ("csv", "latex"):
        with pytest.raises(PestleError, match=r"train\.xyz: .*not a table"):
            pestle.gather(runs, **{option: data})
        target = tmp_path / f"table.{option}"
        pestle.gather(runs[:2], **{option: target})
        first = target.read_text()
        pestle.gather(runs, **{option: target})
        assert target.read_text() != first
    assert data.read_text().startswith("2\n")


def test_the_command(runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [str(run) for run in runs]
    found = CliRunner().invoke(app, ["report", *names, "--csv", "t.csv", "--latex", "t.tex"])
    assert found.exit_code == 0, found.output
    assert "48.60 ± 0.28" in found.stdout and "* 48.60" in found.stdout
    assert (tmp_path / "comparison.html").is_file() and "written again" not in found.output
    assert "(written again)" in CliRunner().invoke(app, ["report", *names]).output
    assert (tmp_path / "t.csv").is_file() and (tmp_path / "t.tex").is_file()
    assert not (runs[0] / "report.html").exists()
    found = CliRunner().invoke(app, ["report", *names, "--json"])
    table = Gathered.of(json.loads(found.stdout), "stdout")
    assert [row.name for row in table.rows if row.kind == "runs"] == [
        "naive & co", "replay", "scratch",
    ]  # fmt: skip
    assert CliRunner().invoke(app, ["report", names[0]]).exit_code == 0
    assert (runs[0] / "report.html").is_file()
    (tmp_path / "empty").mkdir()
    with pytest.raises(PestleError) as error:
        CliRunner().invoke(app, ["report", "empty"], catch_exceptions=False)
    assert error.value.exit_code == 2


def test_a_narrow_terminal_gets_several_tables(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    lines = CliRunner().invoke(app, ["report", *map(str, runs)]).stdout.splitlines()
    tables = [line for line in lines if line.startswith(("│", "┃"))]
    assert tables and max(map(len, tables)) <= 60
    assert any("Errors: test frames, continued" in line for line in lines)
    assert any("48.60 ± 0.28" in line for line in tables)


def test_no_table_of_a_terminal_holds_a_lone_column(runs: list[Path]) -> None:
    table = pestle.gather(runs).table
    for width in range(76, 140, 4):
        blocks = [t for t in terminal_tables(table, width) if str(t.title).startswith("Errors")]
        sizes = [len(t.columns) - 1 for t in blocks]
        assert sizes == [5] or min(sizes) > 1, width


def test_what_all_rows_share_and_errors_of_arithmetic(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "one", 40.0, trained_on=10),
        make_run(tmp_path / "two", 3e-6, method="lora", trained_on=12),
    ]
    training, errors = blocks_of(pestle.gather(runs).table)[:2]
    assert "training frames" in training.headings and "updates" not in training.headings
    assert "updates: 600" in training.alike and errors.alike == ("7 frames",)
    assert text_of(errors.rows[1], errors.columns[2]) == "0"


def test_in_python_several_runs_are_one_object(runs: list[Path]) -> None:
    found = pestle.gather(runs)
    assert repr(found).startswith("4 runs in 3 rows\n") and "meV/Å" in repr(found)
    html = found._repr_html_()
    assert "* 48.60 ± 0.28" in html and "naive &amp; co" in html
    assert Gathered.of(found.to_json(), "a session") == found.table
    assert found.csv().startswith("row,") and r"\toprule" in found.latex()


def test_paths_of_files_have_one_slash() -> None:
    """A file whose path is the end of another's is shown as typed."""
    paths = [Path("/data/frames.xyz"), Path("/old/data/frames.xyz"), Path("/data/new.xyz")]
    assert distinct_names(paths) == ["/data/frames.xyz", "old/data/frames.xyz", "new.xyz"]
