"""Charts of protocols as figures of a page: size, axes and legend. `traces` and `bars` draw the
data."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

import plotly.graph_objects as go

from pestle.protocols.results import Chart, Series
from pestle.reports.bars import bars
from pestle.reports.figures import FAINT, Figure, empty_plot, limit_for, log_axis, shown
from pestle.reports.models import CANDIDATE_STYLE, REFERENCE, Models
from pestle.reports.traces import DASHED, categories_of, in_legend, lines, points, violins

#: Largest number of charts of one protocol; the page says how many more there are.
MAX_CHARTS = 60
#: Number of letters that fit in a line of the title of an axis, also on a phone, and in the names
#: of categories below a chart of half width.
Y_LETTERS = {"wide": 40, "half": 26, "small": 20}
TITLE_LETTERS, X_LETTERS = 32, 50


def figures_of(
    charts: Sequence[Chart], models: Models, prefix: str, limit: int | None = None
) -> list[Figure]:
    """Return a figure for each chart with data.

    Args:
        charts: charts of one protocol.
        models: names, labels and styles of the potentials.
        prefix: beginning of the names of the figures.
        limit: largest number of values of a series; `None` for the largest that fits on a page
            with only these charts.
    """
    limit = limit_for(charts) if limit is None else limit
    drawn = [chart for chart in charts if any(_finite(s) for s in chart.series)][:MAX_CHARTS]
    names: list[str] = []
    for chart in drawn:
        name = slug(f"{prefix} {chart.title}")
        again = sum(name == used or used.startswith(f"{name}--") for used in names)
        names.append(f"{name}--{again + 1}" if again else name)
    return [_figure(chart, models, name, limit) for chart, name in zip(drawn, names, strict=True)]


def slug(text: str) -> str:
    """Return a text as the name of a file: `errors-energies-test`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def left_out(charts: Sequence[Chart]) -> int:
    """Return the number of charts with data that are not drawn."""
    return max(0, sum(any(_finite(s) for s in chart.series) for chart in charts) - MAX_CHARTS)


def potentials_in(charts: Sequence[Chart], models: Models) -> list[str]:
    """Return the names of the series in the order of a legend.

    Args:
        charts: the charts.
        models: potentials in order; other names follow.
    """
    names = {series.name for chart in charts for series in chart.series}
    known = [name for name in (REFERENCE, *models.names) if name in names]
    return known + sorted(names - set(known))


def _finite(series: Series) -> bool:
    return any(value is not None for value in series.y)


def _figure(chart: Chart, models: Models, name: str, limit: int) -> Figure:
    """Return the figure of a chart with data."""
    x_title = broken(chart.x_label, TITLE_LETTERS)
    plot = empty_plot(x_title, broken(chart.y_label, Y_LETTERS[chart.size]))
    order = potentials_in([chart], models)
    series = sorted((s for s in chart.series if _finite(s)), key=lambda s: order.index(s.name))
    # The candidate is drawn last, on top of the others.
    layered = sorted(series, key=lambda s: models.style(s.name) == CANDIDATE_STYLE)
    notes: list[str] = []
    if chart.kind == "violin":
        violins(plot, chart, series, models, limit)
    elif chart.kind == "bar":
        notes = bars(plot, chart, series, models)
    elif chart.kind == "points":
        notes = points(plot, chart, layered, models, limit)
    else:
        lines(plot, chart, layered, models, limit)
    _legend(plot, order)
    _scale(plot, chart, [v for s in series for v in s.y if v is not None])
    square = chart.diagonal and chart.size != "small"
    size = chart.size
    if size == "half" and chart.kind in ("bar", "violin"):
        letters = sum(len(name) + 2 for name in categories_of(chart))
        size = "wide" if letters > X_LETTERS else size
    # Small charts share a legend above them.
    alone = len({s.name for s in series}) == 1 and chart.series[0].name not in models.labels
    plot.update_layout(showlegend=chart.size != "small" and not alone)
    if chart.size == "small":
        plot.update_layout(font={"size": 11}, margin={"l": 46, "r": 8, "t": 6, "b": 36})
        plot.update_xaxes(nticks=5)
        plot.update_yaxes(nticks=5)
    runs = [
        [in_legend(one, models), *zip(one.x, one.runs, strict=True)]
        for one in series
        if one.runs is not None
    ]
    if runs:  # for the CSV of the plot
        plot.update_layout(meta={"runs": runs})
    caption = " ".join(part for part in (chart.caption, *notes) if part)
    return Figure(name, chart.title, caption, plot, size, square)


def _legend(plot: go.Figure, order: list[str]) -> None:
    """Give each potential one entry in the legend, in order, if possible with an unbroken line."""
    named = [trace for trace in plot.data if trace.name is not None]
    for name in {trace.meta for trace in named}:
        mine = [trace for trace in named if trace.meta == name]
        entry = next((t for t in mine if t.type != "scatter" or t.line.dash != DASHED), mine[0])
        for trace in mine:
            trace.legendrank = 100 + order.index(name)
            trace.showlegend = trace is entry
            trace.meta = None


def broken(text: str, letters: int) -> str:
    """Break a title into two lines if it is too long for one.

    Args:
        text: the title.
        letters: number of letters that fit in a line.

    Returns:
        The title, escaped for plotly.
    """
    if len(text) <= letters or " " not in text:
        return shown(text)
    gaps = [k for k, letter in enumerate(text) if letter == " "]
    at = min(gaps, key=lambda k: abs(k - len(text) / 2))
    return f"{shown(text[:at])}<br>{shown(text[at + 1 :])}"


def _scale(plot: go.Figure, chart: Chart, values: list[float]) -> None:
    """Set range and kind of the y axis."""
    positive = [v for v in values if v > 0]
    if chart.log_y and positive:
        given = chart.y_range is not None and chart.y_range[0] > 0
        axis = log_axis(list(chart.y_range or ()) if given else positive)
        if chart.kind == "violin":
            # The values of violins are logarithms already.
            axis = {
                "tickvals": [math.log10(v) for v in axis["tickvals"]],
                "ticktext": axis["ticktext"],
            }
            low, high = math.log10(min(positive)), math.log10(max(positive))
            plot.update_yaxes(range=[low - 0.1, high + 0.1])
            plot.update_layout(meta={"logarithms": True})
        plot.update_yaxes(**axis)
    if chart.y_range is not None and not chart.diagonal:
        low, high = chart.y_range
        if chart.log_y and low > 0:
            low, high = math.log10(low), math.log10(high)
        if not (chart.log_y and chart.y_range[0] <= 0):
            plot.update_yaxes(range=[low, high])
    elif chart.kind == "bar" and not chart.log_y and values and min(values) < 0 < max(values):
        plot.update_yaxes(zeroline=True, zerolinecolor=FAINT)
