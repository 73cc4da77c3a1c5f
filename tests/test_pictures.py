"""Plots as pictures for a paper: their size, fonts, axes and data."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import plotly.graph_objects as go
import pytest
from matplotlib.colors import to_hex
from typer.testing import CliRunner

from pestle.cli import app
from pestle.errors import PestleError
from pestle.jobs.report import write_figures
from pestle.protocols.results import Chart, Series
from pestle.reports import write_report
from pestle.reports.charts import figures_of
from pestle.reports.figures import FOUNDATION_COLOUR, TUNED_COLOUR, Figure, empty_plot
from pestle.reports.models import BASELINE_STYLE, CANDIDATE_STYLE, Models
from pestle.reports.pictures.axes import log_ticks
from pestle.reports.pictures.data import csv_of
from pestle.reports.pictures.draw import draw
from pestle.reports.pictures.write import pictures_of_comparison
from report_folders import (
    BASELINE,
    CANDIDATE,
    EVIL,
    bar_chart,
    line_chart,
    make_results,
    points_chart,
    violin_chart,
)
from report_page import Page
from several_runs import make_run

MODELS = Models(
    {BASELINE: f"{BASELINE} (foundation)", CANDIDATE: CANDIDATE},
    {BASELINE: BASELINE_STYLE, CANDIDATE: CANDIDATE_STYLE},
)


def _figure(chart: Chart) -> Figure:
    (found,) = figures_of([chart], MODELS, "chart")
    return found


def _table(chart: Chart) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_of(_figure(chart)))))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of results with charts of every kind."""
    folder = tmp_path_factory.mktemp("pictures")
    write_figures(make_results(folder / "run"), folder / "out")
    return folder


def test_each_plot_of_the_page_is_there_three_times_with_its_caption(written: Path) -> None:
    plots = set(Page(write_report(written / "run").read_text()).data)
    for suffix in ("svg", "pdf", "csv"):
        assert {path.stem for path in (written / "out").glob(f"*.{suffix}")} == plots
    captions = (written / "out" / "captions.md").read_text()
    assert all(f"**{name}**" in captions for name in plots)
    assert "At 50 GPa." in captions


def test_a_picture_is_as_wide_as_a_column_with_its_fonts_in_it(written: Path) -> None:
    for path in (written / "out").glob("*.pdf"):
        content = path.read_bytes()
        width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)[1])  # type: ignore[index]
        assert width == pytest.approx(8.5 / 2.54 * 72, abs=0.1)
        assert b"/FontFile2" in content and b"/Subtype /Type3" not in content
    for path in (written / "out").glob("*.svg"):
        root = ET.parse(path).getroot()
        assert root.get("width", "").startswith("240.9")
        # Letters are outlines: no font of the reader's is asked for.
        assert not root.findall(".//{http://www.w3.org/2000/svg}text")


def test_the_same_data_give_the_same_file(written: Path, tmp_path: Path) -> None:
    write_figures(written / "run", tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (written / "out" / path.name).read_bytes(), path.name


def test_the_data_are_those_of_the_plot() -> None:
    rows = _table(points_chart())
    chart = points_chart()
    assert list(rows[0]) == ["series", "reference (eV/Å)", "predicted (eV/Å)"]
    own = [row for row in rows if row["series"] == CANDIDATE]
    series = next(one for one in chart.series if one.name == CANDIDATE)
    assert [float(row["reference (eV/Å)"]) for row in own] == pytest.approx(series.x, rel=1e-5)
    assert [float(row["predicted (eV/Å)"]) for row in own] == pytest.approx(series.y, rel=1e-5)


def test_errors_and_bands_are_ranges() -> None:
    bars = [row for row in _table(bar_chart()) if row["series"] == CANDIDATE]
    assert bars[0] == {
        "series": CANDIDATE, "composition": "CuO", "share (%)": "12.0", "lower": "11.0",
        "upper": "13.0",
    }  # fmt: skip
    band = [row for row in _table(line_chart()) if row["series"] == CANDIDATE and row["lower"]]
    chart = line_chart()
    mine = next(one for one in chart.series if one.name == CANDIDATE)
    assert len(band) == len(mine.x)
    middle = [(float(row["lower"]) + float(row["upper"])) / 2 for row in band]
    assert middle == pytest.approx([float(y or 0.0) for y in mine.y], abs=1e-5)


def test_violins_of_logarithms_give_their_values() -> None:
    rows = _table(violin_chart())
    mine = [float(row["error (meV/Å)"]) for row in rows if row["series"] == CANDIDATE]
    chart = violin_chart()
    own = next(one for one in chart.series if one.name == CANDIDATE)
    assert sorted(mine) == pytest.approx(sorted(float(y or 0.0) for y in own.y), rel=1e-4)
    assert {row["group"] for row in rows} == {"md300", EVIL}


def test_the_colours_are_those_of_the_page() -> None:
    axes = draw(_figure(points_chart())).axes[0]
    drawn = {
        to_hex(line.get_markeredgecolor()) for line in axes.lines if line.get_marker() != "none"
    }
    assert drawn == {TUNED_COLOUR, FOUNDATION_COLOUR}


def test_axes_and_ranges_are_those_of_the_page() -> None:
    axes = draw(_figure(points_chart())).axes[0]
    assert axes.get_xlim() == axes.get_ylim() and axes.get_aspect() == 1.0
    chart = Chart("a", "r (Å)", "E (eV)", [Series(CANDIDATE, [0.5, 1.0], [900.0, -1.0])],
                  y_range=(-2.0, 10.0))  # fmt: skip
    assert draw(_figure(chart)).axes[0].get_ylim() == (-2.0, 10.0)


@pytest.mark.parametrize(
    ("low", "high"), [(1e-3, 1e3), (0.8, 30), (40, 90), (70, 450), (41, 48), (1e-9, 1e9), (1, 2)]
)
def test_a_logarithmic_axis_has_at_least_three_labels(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert low <= min(ticks) and max(ticks) <= high
    chart = Chart("a", "epoch", "error", [Series(CANDIDATE, [0, 1], [low, high])], log_y=True)
    picture = draw(_figure(chart))
    picture.canvas.draw()
    labels = [text.get_text() for text in picture.axes[0].get_yticklabels()]
    assert len(set(labels)) == len(labels) >= 3


def test_names_with_signs_of_formulas_and_html_are_shown_as_they_are() -> None:
    chart = Chart("a", "x", "y", [Series(name, [0, 1], [1.0, 2.0]) for name in ("a$b$ < c", "d")])
    plain = Models({"a$b$ < c": "a$b$ < c", "d": "d"}, {})
    (figure,) = figures_of([chart], plain, "chart")
    picture = draw(figure)
    picture.canvas.draw()
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a$b$ < c", "d"]
    assert {row["series"] for row in csv.DictReader(io.StringIO(csv_of(figure)))} == {
        "a$b$ < c", "d",
    }  # fmt: skip


def test_a_plot_of_anything_may_be_empty() -> None:
    plot = empty_plot("x", "y")
    assert csv_of(Figure("a", "", "", plot)) == "series,x,y\n"
    plot.add_trace(go.Scatter(x=[1, 2], y=[None, None], name="a"))
    draw(Figure("a", "", "", plot))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(make_run(tmp_path / name, 40.0, method=name)) for name in ("naive", "lora")]
    found = CliRunner().invoke(app, ["report", *runs, "--figures", "figures"])
    assert found.exit_code == 0, found.output
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    # Each is called by its title.
    title = "compared-force-rmse-test-frames"
    assert {f"{title}.svg", f"{title}.pdf", f"{title}.csv", "captions.md"} <= names
    (tmp_path / "file").write_text("")
    with pytest.raises(PestleError, match="file: is a file"):
        write_figures(runs, tmp_path / "file")


def test_a_name_is_the_title_and_is_used_once() -> None:
    one = Series("a", [1.0], [1.0])
    charts = [Chart(t, "x", "y", [one]) for t in ("Energies, P₂S₅ at 500 K", "Forces", "Forces")]
    found = figures_of(charts, Models({}, {}), "errors")
    assert [f.name for f in found] == [
        "errors-energies-p2s5-at-500-k",
        "errors-forces",
        "errors-forces--2",
    ]


def test_error_bars_are_seen_on_their_bars(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / f"a-{seed}", 40.0 + seed, seed=seed)
    runs = [tmp_path / "a-0", tmp_path / "a-1", make_run(tmp_path / "b", 30.0, method="lora")]
    bars = [t for f in pictures_of_comparison(runs) for t in f.plot.data if t.type == "bar"]
    ranged = [t for t in bars if t.error_y.array is not None]
    assert ranged and all(t.error_y.color not in (None, t.marker.color) for t in ranged)
