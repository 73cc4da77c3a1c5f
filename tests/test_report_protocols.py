"""The report on protocols: verdict, charts, tables, flagged structures."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from pestle.checksums import writing_with_sums
from pestle.jobs.protocol_run import RESULTS
from pestle.metrics import FrameErrors
from pestle.protocols.results import Chart, Column, Flagged, Series, Table
from pestle.reports import write_report
from pestle.reports.charts import figures_of
from pestle.reports.figures import (
    CLOUD,
    DARK,
    FOUNDATION_COLOUR,
    OTHER_COLOURS,
    PAGE_VALUES,
    REFERENCE_COLOUR,
    SCRATCH_COLOUR,
    TUNED_COLOUR,
    cloud,
    distribution,
    limit_for,
    line,
    log_axis,
)
from pestle.reports.flagged import MAX_ATOMS, MAX_STRUCTURES
from pestle.reports.models import BASELINE_STYLE, CANDIDATE_STYLE, Models
from report_folders import (
    BASELINE,
    CANDIDATE,
    EVIL,
    bar_chart,
    changed,
    dump,
    flagged,
    line_chart,
    make_results,
    points_chart,
    small_charts,
    table,
    verdict,
    violin_chart,
    write_protocol,
)
from report_page import Page

MODELS = Models(
    {BASELINE: f"{BASELINE} (foundation)", CANDIDATE: CANDIDATE},
    {BASELINE: BASELINE_STYLE, CANDIDATE: CANDIDATE_STYLE},
)


@pytest.fixture(autouse=True)
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing 4.8 MB in every test takes time."""
    monkeypatch.setattr("pestle.reports.page.get_plotlyjs", lambda: "/* plotly */")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return make_results(tmp_path / "qualify-naive")


@pytest.fixture
def page(results: Path) -> Page:
    return Page(write_report(results).read_text())


def _drawn(chart: Chart, limit: int | None = None) -> dict[str, Any]:
    """A chart as the page holds it."""
    return json.loads(figures_of([chart], MODELS, "chart", limit)[0].json)


def _traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {t["name"]: t for t in figure["data"] if t.get("showlegend")}


# -- the verdict ---------------------------------------------------------------------------------
def test_the_verdict_comes_first(page: Page, results: Path) -> None:
    head = page.text("head")
    assert (
        head.index("FAIL") < head.index("naive is not fit") < head.index("physical tests of naive")
    )
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    assert sections == [
        "verdict",
        "protocol-forgetting",
        "protocol-dimers",
        "protocol-rss",
        "protocol-neb",
        "flagged",
        "tests",
        "asked",
        "provenance",
    ]


def test_findings_are_listed_the_worst_first_and_those_that_count_before_others(
    page: Page,
) -> None:
    text = page.text("verdict")
    order = ["14 of 500 random crystals", "dimers found", "Beyond the broad scope", "atoms found"]
    places = [text.index(words) for words in [*order, "Passed", "md found"]]
    assert places == sorted(places)
    assert "rss figure: 2.8 % of the structures · concern from 0.001, fail from 0.02" in text
    assert "atoms figure" in text and "atoms figure:" not in text, "a finding without a figure"
    assert "2 fails, 1 concern, 1 pass" in page.text("head")


def test_every_finding_stands_once_on_the_page(results: Path) -> None:
    """Wherever it is quoted: in the verdict, in the section of its test, in the ending."""
    found = verdict()
    reason = found.findings[1].sentence
    sentence = f"naive is not fit for what it was made for. {reason} (1 more like it)"
    changed(found, sentence=sentence).write(results / "verdict.json")
    page = Page(write_report(results).read_text())
    assert "naive is not fit for what it was made for." in page.text("head")
    for one in found.findings:
        assert page.text().count(one.sentence) == 1, one.protocol
    anchors = {a["id"] for _, a in page.tags if "id" in a}
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert {f"#{a}" for a in anchors if a.startswith("finding-")} >= {"#finding-1", "#finding-4"}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_the_index_names_every_section(page: Page) -> None:
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    links = [a["href"] for tag, a in page.tags if tag == "a" and a.get("href") != "#verdict"]
    assert [f"#{name}" for name in sections if name != "verdict"] == links[: len(sections) - 1]


def test_what_was_not_tested_and_what_was_left_out(page: Page) -> None:
    text = page.text("verdict")
    # What the scope needs stands first.
    assert text.index("Forgetting needed for this scope") < text.index("no path was given")
    assert page.cells("tested", "Random")[3:] == [
        "2 compositions × 4 crystals",
        "10 compositions × 50 crystals",
        "1m 23s",
    ]
    assert page.cells("tested", "Dimers")[4] == "the same"
    assert page.cells("tested", "Zero-step")[1:3] == ["no judgement", "no"]


@pytest.mark.parametrize("level", ["pass", "concern", "fail", "incomplete"])
def test_a_badge_says_its_level_without_colour(tmp_path: Path, level: str) -> None:
    verdict(verdict=level, findings=()).write(tmp_path / "verdict.json")
    head = Page(write_report(tmp_path).read_text()).text("head")
    signs = {"pass": "✓", "concern": "!", "fail": "✕", "incomplete": "?"}
    assert f"{signs[level]} {level.upper()}" in head


def test_without_a_verdict_the_page_says_how_to_get_one(tmp_path: Path) -> None:
    write_protocol(tmp_path / "my results", "dimers", small_charts())
    page = Page(write_report(tmp_path / "my results").read_text())
    typed = f"pestle qualify '{tmp_path / 'my results'}' --scope"
    assert f"Not qualified yet: {typed} narrow or {typed} broad runs" in page.text("head")
    assert "verdict" not in [a.get("id") for _, a in page.tags]


@pytest.mark.parametrize("content", ["{}", "[]", '{"half": ', '{"verdict": 3, "findings": [1]}'])
def test_any_verdict_gives_a_page(tmp_path: Path, content: str) -> None:
    write_protocol(tmp_path, "dimers", small_charts())
    (tmp_path / "verdict.json").write_text(content)
    text = Page(write_report(tmp_path).read_text()).text()
    assert not re.search(r"\b(nan|None|null|inf)\b", text)


def test_every_part_of_a_verdict_may_be_null(tmp_path: Path) -> None:
    written = verdict().to_json()
    for name in written.keys() - {"format"}:
        dump(tmp_path / "verdict.json", written | {name: None})
        text = Page(write_report(tmp_path).read_text()).text()
        assert not re.search(r"\b(nan|None|null|inf)\b", text), name
        # A model may have no foundation to compare with.
        assert (f"verdict.json: {name}" in text) == (name != "baseline"), name


def test_a_bare_model_is_not_blamed_for_having_no_training(page: Page) -> None:
    text = page.text()
    assert "This page is incomplete" not in text
    assert "Not available" not in text
    assert "4 physical tests of naive, compared with pestle-seed0 (foundation)." in text
    assert "Also compared scratch, lora" in page.text("asked")
    assert "pestle qualify runs/naive --scope broad" in page.text("provenance")
    assert "torch 2.9.0" in page.text("provenance")


# -- protocols -----------------------------------------------------------------------------------
def test_a_protocol_has_question_findings_and_extent(page: Page) -> None:
    text = page.text("protocol-rss")
    assert text.startswith("Random structure search ✕ FAIL What does rss ask?")
    assert "Calculated: 2 compositions × 4 crystals. Full settings: 10 comp" in text
    assert "Findings: rss figure (fail)" in text
    assert "4 flagged structures" in text


def test_names_are_escaped(page: Page, results: Path) -> None:
    text = (results / "report.html").read_text()
    assert "<script>alert" not in text
    for section in ("protocol-dimers", "flagged", "provenance"):
        assert EVIL in page.text(section)
    # Plotly reads HTML in every text.
    drawn = json.dumps(page.drawn("forgetting")[0])
    assert EVIL.replace('"', '\\"') not in drawn
    assert "&lt;script&gt;alert" in drawn


def test_a_potential_has_one_style_all_over_the_page(page: Page) -> None:
    colours: dict[str, set[str]] = {}
    for figure in page.data.values():
        for trace in figure["data"]:
            style = trace.get("line", {}).get("color") or trace["marker"]["color"]
            if trace.get("name"):
                colours.setdefault(trace["name"], set()).add(style)
    assert colours == {
        "naive": {TUNED_COLOUR},
        "pestle-seed0 (foundation)": {FOUNDATION_COLOUR},
        "scratch": {SCRATCH_COLOUR},
        "lora": {OTHER_COLOURS[0]},
        "reference": {REFERENCE_COLOUR},
    }
    dashes = [t["line"]["dash"] for t in _traces(page.drawn("neb")[0]).values()]
    assert len(set(dashes)) == 4  # reference and candidate are unbroken, one has markers
    assert _traces(page.drawn("neb")[0])["reference"]["mode"] == "lines+markers"


def test_fine_tunings_own_names_are_the_same_roles(tmp_path: Path) -> None:
    """Errors by finetune call the models fine-tuned and foundation; tests by their names."""
    write_protocol(tmp_path, "dimers", small_charts(1))
    series = [Series(n, [0.0, 1.0], [1.0, 2.0]) for n in ("foundation", "fine-tuned")]
    own = {"candidate": "fine-tuned", "baseline": "foundation", "models": (), "labels": {}}
    errors = {"all": FrameErrors(n_frames=2, forces_rmse=3.0)}
    sets = {"test": {"foundation": errors, "fine-tuned": errors}}
    write_protocol(tmp_path, "errors", [Chart("a", "x", "y", series)], sets=sets, **own)
    page = Page(write_report(tmp_path).read_text())
    for name in ("errors", "dimers"):
        found = {t["line"]["color"] for t in page.drawn(name)[0]["data"]}
        assert found == {TUNED_COLOUR, FOUNDATION_COLOUR}


def test_errors_of_any_names_and_sets(tmp_path: Path) -> None:
    errors = FrameErrors(n_frames=5, energy_rmse=1.0, forces_rmse=30.0)
    sets = {
        name: {BASELINE: {"all": changed(errors, forces_rmse=90.0)}, CANDIDATE: {"all": errors}}
        for name in ("valid", "acetone at 500 K")
    }
    write_protocol(tmp_path, "errors", [points_chart()], [table()], sets=sets, notes=["E0s moved."])
    verdict().write(tmp_path / "verdict.json")
    page = Page(write_report(tmp_path).read_text())
    assert [a["data-set"] for _, a in page.tags if "data-set" in a] == ["acetone at 500 K", "valid"]
    assert "Force RMSE, acetone at 500 K frames 30.0 meV/Å" in page.text("head")
    assert "foundation 90.0 · 3 × smaller" in page.text("head")
    assert "E0s moved." in page.text("protocol-errors")
    # Its own tables would repeat those of the page.
    assert "Curves of two atoms" not in page.text("protocol-errors")


def test_a_table_is_shown_as_it_is(page: Page) -> None:
    rows = [r for r in page.rows if r["section"] == "protocol-dimers"]
    assert [c["text"] for c in rows[0]["cells"]] == ["pair", "model", "depth eV", "n", "flags"]
    first, second, third = ([c["text"] for c in row["cells"]] for row in rows[1:])
    assert first == ["Cu-X0", "naive", "0.500", "100", EVIL]
    assert second == ["Cu-X1", "pestle-seed0 (foundation)", "−0.750", "99", "—"]
    assert third[2] == "—"
    assert [c["sort"] for c in rows[2]["cells"]] == [None, None, "-0.75", "99", None]
    assert "Depth below two single atoms." in page.text("protocol-dimers")


def test_rows_that_repeat_another_and_empty_columns_are_left_out(tmp_path: Path) -> None:
    columns = [Column("group"), Column("model"), Column("n", "", 4), Column("drift", "eV", 3)]
    rows = [["all", CANDIDATE, 5, None], ["bulk", CANDIDATE, 5, None]]
    other = [*rows, ["slab", CANDIDATE, 2, None]]
    other[0] = ["all", CANDIDATE, 7, 0.5]
    tables = [Table("One group", columns, rows), Table("Two groups", columns, other)]
    write_protocol(tmp_path, "forgetting", [], tables)
    page = Page(write_report(tmp_path).read_text())
    found = [[c["text"] for c in r["cells"]] for r in page.rows if r["section"]]
    assert found[:2] == [["group", "model", "n"], ["bulk", "naive", "5"]]
    assert [row[0] for row in found[2:]] == ["group", "all", "bulk", "slab"]
    assert found[3][2:] == ["7", "0.500"]


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    write_protocol(tmp_path, "dimers", [], [table(1200)])
    page = Page(write_report(tmp_path).read_text())
    assert "400 of 1200 rows; all of them: protocols/dimers/tables.json" in page.text()
    assert sum(row["section"] == "protocol-dimers" for row in page.rows) == 401


def test_many_tables_share_the_room_of_a_protocol(tmp_path: Path) -> None:
    write_protocol(tmp_path, "torsion", [], [table(300) for _ in range(9)])
    page = Page(write_report(tmp_path).read_text())
    assert sum(row["section"] == "protocol-torsion" for row in page.rows) == 2000 + 9
    assert "200 of 300 rows" in page.text() and "0 of 300 rows" in page.text()


@pytest.mark.parametrize("name", ["metrics.json", "charts.json", "tables.json", "flagged.xyz"])
def test_any_file_of_a_protocol_may_be_broken(results: Path, name: str) -> None:
    (results / "protocols/rss" / name).write_text('{"half": ')
    page = Page(write_report(results).read_text())
    assert f"protocols/rss/{name}" in page.text("head")
    assert "protocol-rss" in [a.get("id") for _, a in page.tags]


def _with_another_digit(path: Path) -> None:
    text = path.read_text()
    path.write_text(re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), text, count=1))


@pytest.mark.parametrize("name", ["metrics.json", "charts.json", "tables.json", "flagged.xyz"])
def test_another_digit_in_a_file_of_a_protocol_is_said(results: Path, name: str) -> None:
    place = results / "protocols/rss"
    with writing_with_sums(place, RESULTS):
        pass
    assert "damaged" not in Page(write_report(results).read_text()).text("head")
    (place / name).write_text((place / name).read_text() + " 1")
    _with_another_digit(place / name)
    head = Page(write_report(results).read_text()).text("head")
    assert f"protocols/rss/{name} is damaged or was changed" in head and "writes it anew" in head
    (place / name).unlink()
    if name != "metrics.json":  # without which nothing is known of a protocol
        head = Page(write_report(results).read_text()).text("head")
        assert f"protocols/rss/{name} is gone" in head


def test_another_digit_in_a_verdict_is_said(results: Path) -> None:
    verdict().write(results / "verdict.json", sealed=True)
    assert "damaged" not in Page(write_report(results).read_text()).text("head")
    _with_another_digit(results / "verdict.json")
    head = Page(write_report(results).read_text()).text("head")
    assert "verdict.json is damaged or was changed" in head and "pestle qualify" in head


def test_odd_entries_are_left_out_and_named(tmp_path: Path) -> None:
    place = write_protocol(tmp_path, "dimers", small_charts(1), [table(1)])
    [good], [rows] = (json.loads((place / f"{n}.json").read_text()) for n in ("charts", "tables"))
    text = {**good["series"][0], "y": ["text"] * len(good["series"][0]["x"])}
    odd = [1, {"title": "no axes"}, {**good, "series": [1]}, good, {**good, "series": [text]}]
    odd += [{**good, "series": [{"name": "a", "x": x, "y": [1.0, 2.0]}]} for x in ([1], [1, None])]
    dump(place / "charts.json", odd)
    dump(place / "tables.json", [{"columns": [{}]}, {**rows, "rows": [[1]]}, rows])
    page = Page(write_report(tmp_path).read_text())
    assert "protocols/dimers/charts.json: 6 entries cannot be shown (0: " in page.text("head")
    assert "protocols/dimers/tables.json: 2 entries cannot be shown (0: " in page.text("head")
    assert len(page.data) == len(page.drawn("dimers")) == 1
    assert sum(row["section"] == "protocol-dimers" for row in page.rows) == 2


def test_gaps_of_an_error_bar_are_no_error(tmp_path: Path) -> None:
    y = [float(k) for k in range(30)]
    error = [None, *y[1:]]
    charts = [Chart("a", "x", "y", [Series(CANDIDATE, y[:n], y[:n], error[:n])]) for n in (5, 30)]
    write_protocol(tmp_path, "md", charts)
    assert len(Page(write_report(tmp_path).read_text()).data) == 2


# -- charts --------------------------------------------------------------------------------------
def test_lines_bands_and_second_lines() -> None:
    figure = _drawn(line_chart())
    bands = [t for t in figure["data"] if t.get("fill") == "toself"]
    assert len(bands) == 4
    y = [math.sin(k / 20) for k in range(41)]
    tuned = next(b for b in bands if b["legendgroup"] == CANDIDATE)
    assert max(tuned["y"]) == pytest.approx(max(y) + 0.05, rel=1e-5)
    assert tuned["opacity"] < 0.3
    mine = [t for t in figure["data"] if t.get("name") == CANDIDATE]
    assert [t["showlegend"] for t in mine] == [True, False]
    assert mine[0]["line"]["dash"] != mine[1]["line"]["dash"]


def test_a_legend_has_one_entry_for_each_potential() -> None:
    series = [Series(CANDIDATE, [0, 1], [float(k), 1.0]) for k in range(3)]
    series += [Series("reference", [0, 1], [0.0, 0.0], dashed=True)]
    entries = [t for t in _drawn(Chart("T", "t", "T", series))["data"] if t["showlegend"]]
    assert sorted(t["name"] for t in entries) == [CANDIDATE, "reference"]


def test_gaps_in_a_line_stay_gaps() -> None:
    chart = Chart("a", "x", "y", [Series(CANDIDATE, [0, 1, 2], [1.0, None, 3.0])])
    trace = _drawn(chart)["data"][0]
    assert trace["y"] == [1.0, None, 3.0]
    assert not trace.get("connectgaps")


def test_points_keep_their_outlier_and_lie_in_a_square() -> None:
    figure = _drawn(points_chart(6000))
    traces = _traces(figure)
    assert {len(t["x"]) for t in traces.values()} == {CLOUD}
    off = [abs(b - a) for a, b in zip(traces["naive"]["x"], traces["naive"]["y"], strict=True)]
    assert max(off) == pytest.approx(0.7, abs=1e-5)
    assert figure["layout"]["xaxis"]["range"] == figure["layout"]["yaxis"]["range"]
    assert figure["data"][-1]["name"] == "naive"  # on top
    caption = figures_of([points_chart(6000, caption="RMSE.")], MODELS, "c")[0].caption
    assert caption == "RMSE. 1,500 of 6,000 points are drawn, the largest deviations among them."


def test_a_model_that_blew_up_does_not_press_the_others_together() -> None:
    chart = points_chart()
    chart.series[0].y[3] = 1e6
    figure = figures_of([chart], MODELS, "chart")[0]
    assert max(json.loads(figure.json)["layout"]["xaxis"]["range"]) < 20
    assert "Points outside the frame: 1 of pestle-seed0 (foundation)." in figure.caption


def test_violins_on_a_logarithmic_axis_are_of_logarithms() -> None:
    figure = _drawn(violin_chart(200))
    trace = _traces(figure)["naive"]
    assert np.mean(trace["y"]) == pytest.approx(1.0, abs=0.1)
    assert np.std(trace["y"]) == pytest.approx(0.3, abs=0.05)
    axis = figure["layout"]["yaxis"]
    assert axis["ticktext"][axis["tickvals"].index(2.0)] == "100"
    assert axis.get("type") != "log"


def test_bars_have_figures_patterns_and_errors() -> None:
    traces = _traces(_drawn(bar_chart()))
    assert traces["naive"]["error_y"]["array"] == [1.0, 0.5]
    assert traces["pestle-seed0 (foundation)"]["y"] == [0.0, None]
    patterns = [t["marker"].get("pattern", {}).get("shape", "") for t in traces.values()]
    assert len(set(patterns)) == 2
    plain = replace(bar_chart(), series=[Series(CANDIDATE, ["a"], [2.346])])
    assert _drawn(plain)["data"][0]["text"] == ["2.35"]


def _bars(base: list[float], own: list[float], label: str = "error (meV/Å)") -> Chart:
    names = [f"group {k}" for k in range(len(own))]
    series = [Series(BASELINE, names, base), Series(CANDIDATE, names, own)]
    return Chart("a", "group", label, series, kind="bar")


def test_bars_that_would_flatten_all_others_are_cut_with_their_figures_written() -> None:
    figure = figures_of([_bars([12.4, 12504.8], [0.3, 0.1], "error (eV)")], MODELS, "c")[0]
    drawn = json.loads(figure.json)
    base, own = (_traces(drawn)[name] for name in ("pestle-seed0 (foundation)", "naive"))
    top = drawn["layout"]["yaxis"]["range"][1]
    # Models of one level are within an eV: their bars have a quarter of the height at least.
    assert own["y"] == [0.3, 0.1] and max(own["y"]) > 0.15 * top
    assert max(base["y"]) < top and base["text"] == ["12.4 ↑", "12,505 ↑"]
    assert base["customdata"] == [12.4, 12504.8]
    assert "are cut" in figure.caption and "pestle-seed0 (foundation)" in figure.caption
    # Of the other sign.
    below = _drawn(_bars([-900.0, 2.0], [1.0, 2.0]))
    assert _traces(below)["pestle-seed0 (foundation)"]["text"][0] == "−900 ↓"
    assert below["layout"]["yaxis"]["range"][0] < 0


@pytest.mark.parametrize("base", [[30.0, 12.0], [0.0, 0.0]])
def test_bars_that_can_be_compared_are_not_cut(base: list[float]) -> None:
    figure = figures_of([_bars(base, [2.0, 3.0])], MODELS, "c")[0]
    assert "range" not in json.loads(figure.json)["layout"]["yaxis"] and not figure.caption


@pytest.mark.parametrize("low", [1e-9, 0.0123, 0.97, 440.0, 7e5])
@pytest.mark.parametrize("ratio", [1.004, 1.07, 1.3, 2.0, 5.0, 30.0, 1e3, 1e12])
def test_a_logarithmic_axis_has_three_labels_where_the_values_are(low: float, ratio: float) -> None:
    high = low * ratio
    axis = log_axis([low, high])
    inside = [
        text
        for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True)
        if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
    ]
    assert 3 <= len(inside) <= 12
    assert len(set(inside)) == len(inside)


def test_one_value_on_a_logarithmic_axis_is_labelled_too() -> None:
    axis = log_axis([300.0])
    assert sum(30 <= value <= 3000 for value in axis["tickvals"]) >= 3


def test_a_foundation_of_another_level_leaves_the_frame_to_the_others() -> None:
    """Its labels, less its own E0s, are thousands of eV off."""
    label = [-3.0 + 0.01 * k for k in range(20)]
    far = [x - 2700 for x in label]
    series = [Series(BASELINE, far, label), Series(CANDIDATE, label, label)]
    chart = Chart("Energies", "x", "y", series, kind="points", diagonal=True)
    figure = figures_of([chart], MODELS, "c")[0]
    low, high = json.loads(figure.json)["layout"]["xaxis"]["range"]
    assert -4 < low < -3.0 and -2.81 < high < -2
    assert "Points outside the frame: 20 of pestle-seed0 (foundation)." in figure.caption


def test_many_categories_take_the_width_of_the_page() -> None:
    names = [f"group number {k}" for k in range(9)]
    chart = Chart("a", "x", "y", [Series(CANDIDATE, names, [1.0] * 9)], kind="bar")
    assert figures_of([chart], MODELS, "chart")[0].shape == "wide"
    assert figures_of([bar_chart()], MODELS, "chart")[0].shape == "half"


def test_a_range_is_kept_on_either_axis() -> None:
    assert _drawn(small_charts(1)[0])["layout"]["yaxis"]["range"] == [-2.0, 10.0]
    chart = Chart("a", "x", "y", [Series(CANDIDATE, [1, 2], [1.0, 9.0])], (0.1, 100.0), log_y=True)
    assert _drawn(chart)["layout"]["yaxis"]["range"] == pytest.approx([-1.0, 2.0])
    # A logarithmic axis has no zero.
    assert "range" not in _drawn(replace(chart, y_range=(0.0, 1.0)))["layout"]["yaxis"]


def test_small_charts_share_one_legend(page: Page) -> None:
    assert "pestle-seed0 (foundation) (dashed) naive" in page.text("protocol-dimers")
    assert not page.drawn("dimers")[0]["layout"]["showlegend"]
    assert page.drawn("forgetting")[1]["layout"]["showlegend"]


def test_a_chart_without_values_is_left_out(tmp_path: Path) -> None:
    empty = [Chart("a", "x", "y"), Chart("b", "x", "y", [Series("naive", [1], [None])])]
    write_protocol(tmp_path, "md", empty)
    text = write_report(tmp_path).read_text()
    assert "There are no charts and no tables." in Page(text).text("protocol-md")
    assert len(text) < 100_000


def test_more_charts_than_a_page_can_hold_are_named(tmp_path: Path) -> None:
    write_protocol(tmp_path, "dimers", small_charts(75))
    page = Page(write_report(tmp_path).read_text())
    assert len(page.data) == 60
    assert "15 more charts: protocols/dimers/charts.json" in page.text("protocol-dimers")


def test_every_colour_has_a_counterpart_on_a_dark_screen(page: Page) -> None:
    text = json.dumps(page.data)
    used = set(re.findall(r'"(#[0-9a-f]{6}|rgba\([^)]*\))"', text))
    assert len(used) > 8
    assert used <= set(DARK)


def test_notes_are_said_once(tmp_path: Path) -> None:
    notes = ["Left out: 6.", "E0s moved.", "Nobody says this."]
    tables = [replace(table(), note="Rows. E0s moved.")]
    write_protocol(tmp_path, "forgetting", [bar_chart(caption="Left out: 6.")], tables, notes=notes)
    text = Page(write_report(tmp_path).read_text()).text("protocol-forgetting")
    assert [text.count(note) for note in notes] == [1, 1, 1]


# -- thinning ------------------------------------------------------------------------------------
def test_a_thinned_line_keeps_ends_peaks_and_gaps() -> None:
    y: list[float | None] = [0.0] * 10_000
    y[1234], y[7777], y[5000] = 9.0, -7.0, None
    kept = line(y, 300)
    assert len(kept) <= 300
    assert {0, 1234, 5000, 7777, 9999} <= set(kept.tolist())
    assert list(kept) == sorted(kept)
    assert line(y[:300], 300).tolist() == list(range(300))


def test_a_thinned_cloud_keeps_the_worst() -> None:
    x = np.linspace(0, 1, 5000)
    y = x.copy()
    y[[17, 4000]] += (0.3, -0.4)
    kept = cloud(x.tolist(), y.tolist(), 200, diagonal=True)
    assert len(set(kept.tolist())) == 200
    assert {17, 4000} <= set(kept.tolist())


def test_a_thinned_distribution_has_the_same_quantiles() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    kept = distribution(values.tolist(), 200)
    assert len(kept) == 200
    assert (kept[0], kept[-1]) == (values.min(), values.max())
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.quantile(kept, shares) == pytest.approx(np.quantile(values, shares), abs=0.05)


def test_the_more_charts_the_fewer_points() -> None:
    one = [line_chart()]
    assert limit_for(one) == 3000
    many = [Chart("a", "x", "y", [Series("a", [0.0] * 5000, [0.0] * 5000)]) for _ in range(500)]
    assert 500 * limit_for(many) <= PAGE_VALUES


def test_a_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the plotting library
    for name in ("errors", "md", "rdf"):
        x = [0.123456789 * k for k in range(5000)]
        long = [Series(n, x, [math.sin(v) for v in x]) for n in (CANDIDATE, BASELINE, "a", "b")]
        charts = [Chart(f"{k}", "x", "y", long, kind=("line", "points")[k % 2]) for k in range(8)]
        found = flagged(80, atoms=200) if name == "md" else []
        write_protocol(tmp_path, name, charts, [table(5000)], found)
    size = write_report(tmp_path).stat().st_size
    assert 4_000_000 < size < 10_000_000


# -- flagged structures --------------------------------------------------------------------------
def _viewer(text: str) -> dict[str, Any]:
    found = re.search(r'id="viewer-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_viewer_has_the_structures(page: Page, results: Path) -> None:
    viewer = _viewer((results / "report.html").read_text())
    crystal, molecule = viewer["structures"][0], viewer["structures"][-1]
    expected = bulk("Cu", "fcc", a=2.0, cubic=True)
    assert np.array(crystal["positions"]) == pytest.approx(expected.positions)
    assert np.array(crystal["cell"]) == pytest.approx(expected.cell.array)
    assert crystal["symbols"] == ["Cu"] * 4
    # The nearest neighbours of fcc are a/√2 apart, one of them across a face.
    assert crystal["caption"].endswith("shortest distance 1.41 Å (Cu–Cu)")
    assert molecule["cell"] is None
    assert set(viewer["elements"]) == {"C", "Cu", "H", "O"}
    assert viewer["elements"]["O"]["radius"] == pytest.approx(0.66)
    options = [a["value"] for tag, a in page.tags if tag == "option"]
    assert options == ["0", "1", "2", "3"]
    assert "naive · CuO 0, 50 GPa · imploded: 0.6 Å" in page.text("flagged")
    assert page.cells("flagged-table", "CuO 1")[1:] == [
        "imploded: 0.6 Å",
        "pestle-seed0 (foundation)",
        "Random structure search",
        "Cu4",
        "4",
    ]


def test_the_viewer_is_capped_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    large = Flagged("naive", "slab", "too big", bulk("Cu", cubic=True).repeat((4, 4, 4)))
    write_protocol(tmp_path, "rss", [], [], [large, *flagged(90)])
    write_protocol(tmp_path, "md", [], [], flagged(4))
    path = write_report(tmp_path)
    page, viewer = Page(path.read_text()), _viewer(path.read_text())
    assert len(viewer["structures"]) == MAX_STRUCTURES
    assert max(len(s["symbols"]) for s in viewer["structures"]) <= MAX_ATOMS
    text = page.text("flagged")
    assert f"1 with more than {MAX_ATOMS} atoms and 36 more: protocols/rss/flagged.xyz" in text
    # No protocol is crowded out by another.
    groups = [a["label"] for tag, a in page.tags if tag == "optgroup"]
    assert groups == ["Molecular dynamics", "Random structure search"]
    assert (
        sum(
            "Molecular dynamics" in r["cells"][3]["text"]
            for r in page.rows
            if r["table"] == "flagged-table"
        )
        == 5
    )


def test_collapsed_and_broken_structures_stop_nothing(tmp_path: Path) -> None:
    point = bulk("Cu", cubic=True)
    point.set_cell(point.cell.array * 1e-3, scale_atoms=True)
    lost = bulk("Cu", cubic=True)
    lost.positions[0] = np.nan
    flat = bulk("Cu", cubic=True)
    flat.cell[2] = 0.0
    found = [Flagged("naive", f"no {k}", "odd", a) for k, a in enumerate((point, lost, flat))]
    write_protocol(tmp_path, "rss", [], [], found)
    text = write_report(tmp_path).read_text()
    assert "NaN" not in json.dumps(_viewer(text))
    assert "1 more: protocols/rss/flagged.xyz" in Page(text).text("flagged")


def test_nothing_flagged_needs_no_viewer(tmp_path: Path) -> None:
    write_protocol(tmp_path, "dimers", small_charts(1))
    page = Page(write_report(tmp_path).read_text())
    assert not {"flagged", "viewer"} & {a.get("id") for _, a in page.tags}
