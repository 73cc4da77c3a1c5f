"""Charts of protocols as figures of a page: size, axes, legend, and the lines, points, violins
and bars in them, in the potentials' styles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pestle.protocols.results import Chart, Series
from pestle.records.wording import count, number
from pestle.report.figures import (
    FAINT,
    PAPER,
    Figure,
    cloud,
    distribution,
    empty_plot,
    limit_for,
    line,
    log_axis,
    picked,
    rounded,
    shown,
)
from pestle.report.models import CANDIDATE_STYLE, REFERENCE, Models, Style

#: Charts that are drawn of one protocol; the rest is named.
MAX_CHARTS = 60
#: Letters that the y axis of a chart has room for, and names of categories below one of half width.
Y_LETTERS, X_LETTERS = {"wide": 40, "half": 26, "small": 20}, 50


def figures_of(
    charts: Sequence[Chart], models: Models, prefix: str, limit: int | None = None
) -> list[Figure]:
    """A figure for each chart that has something to draw.

    Args:
        charts: of one protocol.
        models: order, words and styles.
        prefix: of the figures' names.
        limit: values that each series keeps; by default as many as these charts alone permit.
    """
    limit = limit_for(charts) if limit is None else limit
    drawn = [chart for chart in charts if any(_finite(s) for s in chart.series)][:MAX_CHARTS]
    return [_figure(chart, models, f"{prefix}-{k}", limit) for k, chart in enumerate(drawn)]


def left_out(charts: Sequence[Chart]) -> int:
    """How many charts with something in them are not drawn."""
    return max(0, sum(any(_finite(s) for s in chart.series) for chart in charts) - MAX_CHARTS)


def potentials_in(charts: Sequence[Chart], models: Models) -> list[str]:
    """Names of the series, in the order of a legend."""
    names = {series.name for chart in charts for series in chart.series}
    known = [name for name in (REFERENCE, *models.names) if name in names]
    return known + sorted(names - set(known))


def _finite(series: Series) -> bool:
    return any(value is not None for value in series.y)


def _figure(chart: Chart, models: Models, name: str, limit: int) -> Figure:
    plot = empty_plot(shown(chart.x_label), _broken(chart.y_label, Y_LETTERS[chart.size]))
    order = potentials_in([chart], models)
    series = sorted((s for s in chart.series if _finite(s)), key=lambda s: order.index(s.name))
    # What the page is about is drawn last, on top of the others.
    layered = sorted(series, key=lambda s: models.style(s.name) == CANDIDATE_STYLE)
    notes: list[str] = []
    if chart.kind == "violin":
        violins(plot, chart, series, models, limit)
    elif chart.kind == "bar":
        bars(plot, chart, series, models)
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
    # Small ones share a legend above them.
    alone = len({s.name for s in series}) == 1 and chart.series[0].name not in models.labels
    plot.update_layout(showlegend=chart.size != "small" and not alone)
    if chart.size == "small":
        plot.update_layout(font={"size": 11}, margin={"l": 46, "r": 8, "t": 6, "b": 36})
        plot.update_xaxes(nticks=5)
        plot.update_yaxes(nticks=5)
    caption = " ".join(part for part in (chart.caption, *notes) if part)
    return Figure(name, chart.title, caption, plot, size, square)


def _legend(plot: go.Figure, order: list[str]) -> None:
    """One entry for each potential, in order; an unbroken line of it where there is one."""
    named = [trace for trace in plot.data if trace.name is not None]
    for name in {trace.meta for trace in named}:
        mine = [trace for trace in named if trace.meta == name]
        entry = next((t for t in mine if t.type != "scatter" or t.line.dash != DASHED), mine[0])
        for trace in mine:
            trace.legendrank = 100 + order.index(name)
            trace.showlegend = trace is entry
            trace.meta = None


def _broken(text: str, letters: int) -> str:
    """In two lines where one is too long for the height of a plot."""
    if len(text) <= letters or " " not in text:
        return shown(text)
    gaps = [k for k, letter in enumerate(text) if letter == " "]
    at = min(gaps, key=lambda k: abs(k - len(text) / 2))
    return f"{shown(text[:at])}<br>{shown(text[at + 1 :])}"


def _scale(plot: go.Figure, chart: Chart, values: list[float]) -> None:
    """Range and kind of the y axis."""
    positive = [v for v in values if v > 0]
    if chart.log_y and positive:
        axis = log_axis(positive)
        if chart.kind == "violin":
            # Its values are logarithms already.
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


#: A parity plot reaches so many widths of the references' range beyond it. A model that blew up
#: would else press all others into one point.
REACH = 1.0
#: A line with no more values than this has a marker at each, and a cloud larger points.
FEW = 15
#: Of a potential's second line. No potential's own.
DASHED = "2px,3px"
#: Label of a potential that still fits a legend.
LEGEND_LETTERS = 30


def categories_of(chart: Chart) -> list[str]:
    return list(dict.fromkeys(str(x) for s in chart.series for x in s.x))


def _named(series: Series, models: Models) -> dict[str, Any]:
    """Name in the legend, once for all traces of a potential; `meta` keeps the potential's own."""
    label = models.label(series.name)
    spoken = label if len(label) <= LEGEND_LETTERS else series.name
    return {"name": shown(spoken), "legendgroup": series.name, "meta": series.name}


def lines(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> None:
    for one in series:
        style, keep = models.style(one.name), line(one.y, limit)
        x, y = picked(one.x, keep), picked(one.y, keep)
        few = sum(v is not None for v in one.y) <= FEW
        error = picked(one.error, keep) if one.error is not None else None
        if error is not None and not few:
            _band(plot, chart, x, y, error, style, one.name)
        plot.add_scatter(
            x=rounded(x) if _numeric(x) else [shown(v) for v in x],
            y=rounded(y),
            error_y=_error_bars(error) if few else None,
            mode="lines+markers" if few else "lines",
            line={
                "color": style.colour,
                "width": 1.4 if one.dashed else 2,
                "dash": DASHED if one.dashed else style.dash,
            },
            marker={"color": style.colour, "size": 6, "symbol": style.symbol},
            hovertemplate="%{y:.4g}",
            **_named(one, models),
        )
    plot.update_layout(hovermode="x")


def _band(
    plot: go.Figure,
    chart: Chart,
    x: list[Any],
    y: list[float | None],
    error: list[float | None],
    style: Style,
    name: str,
) -> None:
    """What lies within the error of a line, tinted."""
    known = [(a, b, e or 0.0) for a, b, e in zip(x, y, error, strict=True) if b is not None]
    lowest = min((b for _, b, _ in known if b > 0), default=1e-12) * 1e-3
    low = [b - e if not chart.log_y else max(b - e, lowest) for _, b, e in known]
    high = [b + e for _, b, e in known]
    plot.add_scatter(
        x=[*(a for a, _, _ in known), *(a for a, _, _ in reversed(known))],
        y=rounded([*high, *reversed(low)]),
        mode="lines",
        fill="toself",
        fillcolor=style.colour,
        line={"width": 0, "color": style.colour},
        opacity=0.16,
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )


def _error_bars(error: Sequence[float | None] | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"type": "data", "array": rounded(list(error)), "thickness": 1.2, "width": 4}


def points(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> list[str]:
    """The clouds; returns what a reader must know of points that are not drawn."""
    clouds = {}
    for one in series:
        pairs = [
            (a, b, e)
            for a, b, e in zip(one.x, one.y, one.error or [0.0] * len(one.y), strict=True)
            if b is not None and (not chart.diagonal or isinstance(a, int | float))
        ]
        x, y, error = (
            (list(column) for column in zip(*pairs, strict=True)) if pairs else ([], [], [])
        )
        clouds[one.name] = (x, y)
        keep = cloud(x, y, limit, diagonal=chart.diagonal)
        style = models.style(one.name)
        plot.add_scatter(
            x=rounded(picked(x, keep)) if _numeric(x) else [shown(v) for v in picked(x, keep)],
            y=rounded(picked(y, keep)),
            error_y=_error_bars(picked(error, keep)) if one.error is not None else None,
            mode="markers",
            marker={
                "color": style.colour,
                "size": 10 if len(x) <= FEW else 5 if style.hollow else 6,
                "opacity": 0.9 if len(x) <= FEW else 0.55 if style.hollow else 0.65,
                "symbol": style.symbol,
                "line": {"width": 1} if style.hollow else {"width": 0},
            },
            hovertemplate="%{x:.4g} → %{y:.4g}" if _numeric(x) else "%{y:.4g}",
            **_named(one, models),
        )
    plot.update_layout(hovermode="closest")
    notes = []
    most = max((len(x) for x, _ in clouds.values()), default=0)
    drawn = max((len(t.x) for t in plot.data), default=0)
    if drawn < most:
        kept = ", the largest deviations among them" if chart.diagonal else ""
        notes.append(f"{count(drawn)} of {count(most)} points are drawn{kept}.")
    if chart.diagonal and clouds:
        notes.append(_diagonal(plot, chart, clouds, models))
    return notes


def _diagonal(
    plot: go.Figure,
    chart: Chart,
    clouds: dict[str, tuple[list[float], list[float]]],
    models: Models,
) -> str:
    """The line of agreement and equal limits; a sentence about points outside of them."""
    low, high = chart.y_range or _limits(clouds)
    plot.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": FAINT, "width": 1.2},
        hoverinfo="skip",
        showlegend=False,
    )
    # Below the points.
    plot.data = (plot.data[-1], *plot.data[:-1])
    plot.update_xaxes(range=[low, high], constrain="domain", nticks=6)
    plot.update_yaxes(range=[low, high], constrain="domain", nticks=6, scaleanchor="x")
    beyond = {
        models.label(name): sum(
            not (low <= a <= high and low <= b <= high) for a, b in zip(x, y, strict=True)
        )
        for name, (x, y) in clouds.items()
    }
    said = ", ".join(f"{n} of {label}" for label, n in beyond.items() if n)
    return f"Points outside the frame: {said}." if said else ""


def _limits(clouds: dict[str, tuple[list[float], list[float]]]) -> tuple[float, float]:
    """The same limits for both axes."""
    labels = np.array([v for x, _ in clouds.values() for v in x])
    every = np.array([v for x, y in clouds.values() for v in (*x, *y)])
    width = max(float(np.ptp(labels)), 1e-3)
    low = max(float(every.min()), float(labels.min()) - REACH * width)
    high = min(float(every.max()), float(labels.max()) + REACH * width)
    pad = 0.05 * max(high - low, 1e-3)
    return low - pad, high + pad


def violins(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> None:
    categories = categories_of(chart)
    for one in series:
        style = models.style(one.name)
        xs: list[str] = []
        ys: list[float] = []
        for category in categories:
            values = [
                v
                for x, v in zip(one.x, one.y, strict=True)
                if str(x) == category and v is not None and (v > 0 or not chart.log_y)
            ]
            kept = distribution(values, max(50, limit // len(categories)))
            xs += [shown(category)] * len(kept)
            # A density on a logarithmic axis is that of the logarithms.
            ys += [math.log10(v) for v in kept] if chart.log_y else kept
        plot.add_violin(
            x=xs,
            y=rounded(ys),
            line={"color": style.colour, "width": 1.4},
            fillcolor=PAPER if style.hollow else style.colour,
            opacity=0.8,
            box={"visible": True, "fillcolor": PAPER, "width": 0.15},
            meanline={"visible": False},
            points=False,
            spanmode="hard",
            scalemode="width",
            hoverinfo="skip",
            **_named(one, models),
        )
    plot.update_layout(violinmode="group", violingap=0.2, violingroupgap=0.05)
    plot.update_xaxes(type="category", categoryorder="array")
    plot.update_xaxes(categoryarray=[shown(c) for c in categories])


def bars(plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models) -> None:
    categories = categories_of(chart)
    few = len(categories) * len(series) <= (8 if chart.size != "wide" else 20)
    figures = few and all(one.error is None for one in series)
    for one in series:
        style = models.style(one.name)
        # Hatching in the potential's colour.
        hatching = {
            "shape": style.pattern,
            "fgcolor": style.colour,
            "bgcolor": PAPER,
            "size": 6,
            "solidity": 0.5,
        }
        plot.add_bar(
            x=[shown(x) for x in one.x],
            y=rounded(one.y),
            error_y=_error_bars(one.error),
            marker={
                "color": style.colour,
                "line": {"color": style.colour, "width": 1},
                "pattern": hatching if style.pattern else None,
            },
            text=[number(v) for v in one.y] if figures else None,
            textposition="outside",
            textangle=0,
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.4g}",
            **_named(one, models),
        )
    plot.update_layout(barmode="group", bargap=0.3, bargroupgap=0.08, hovermode="closest")
    plot.update_xaxes(type="category", categoryorder="array")
    plot.update_xaxes(categoryarray=[shown(c) for c in categories])


def _numeric(x: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) for v in x)
