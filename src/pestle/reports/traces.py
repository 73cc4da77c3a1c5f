"""Lines, points and violins of a chart, in the styles of the potentials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pestle.protocols.results import Chart, Series
from pestle.reports.figures import FAINT, PAPER, cloud, distribution, line, picked, rounded, shown
from pestle.reports.models import CANDIDATE_STYLE, Models, Style
from pestle.wording import count

#: How far a parity plot goes beyond the range of the references, in widths of this range. Otherwise
#: one model with huge errors would shrink all others to a point.
REACH = 1.0
#: Lines with at most so many values have markers, and clouds with at most so many larger points.
FEW = 15
#: Dashes of the second line of a potential; no potential has them for its first line.
DASHED = "2px,3px"
#: Largest number of letters of a label in a legend.
LEGEND_LETTERS = 30


def categories_of(chart: Chart) -> list[str]:
    """Return the categories on the x axis of a chart, in order."""
    return list(dict.fromkeys(str(x) for s in chart.series for x in s.x))


def named(series: Series, models: Models) -> dict[str, Any]:
    """Return the name of a trace in the legend; traces of one potential share an entry.

    Args:
        series: the series; its name is kept as `meta`.
        models: labels of the potentials.
    """
    name = shown(in_legend(series, models))
    return {"name": name, "legendgroup": series.name, "meta": series.name}


def in_legend(series: Series, models: Models) -> str:
    """Return the name of a series in the legend.

    Args:
        series: the series.
        models: labels of the potentials.
    """
    label = models.label(series.name)
    return label if len(label) <= LEGEND_LETTERS else series.name


def lines(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> None:
    """Draw the lines of a chart.

    Args:
        plot: the plot, which is changed.
        chart: the chart.
        series: its series, in the order of drawing.
        models: names and styles of the potentials.
        limit: largest number of values of a series.
    """
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
            error_y=error_bars(error) if few else None,
            mode="lines+markers" if few else "lines",
            line={
                "color": style.colour,
                "width": 1.4 if one.dashed else 2,
                "dash": DASHED if one.dashed else style.dash,
            },
            marker={"color": style.colour, "size": 6, "symbol": style.symbol},
            hovertemplate="%{y:.4g}",
            **named(one, models),
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
    """Tint the region within the error of a line."""
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


def error_bars(
    error: Sequence[float | None] | None, colour: str | None = None
) -> dict[str, Any] | None:
    """Return error bars for plotly; `None` if there is no error.

    Args:
        error: half the length of each.
        colour: if not that of the series.
    """
    if error is None:
        return None
    own = {} if colour is None else {"color": colour}
    return {"type": "data", "array": rounded(list(error)), "thickness": 1.2, "width": 4, **own}


def points(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> list[str]:
    """Draw the points of a chart.

    Args:
        plot, chart, series, models, limit: as in `lines`.

    Returns:
        Sentences about points that are not drawn, for the caption.
    """
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
            error_y=error_bars(picked(error, keep)) if one.error is not None else None,
            mode="markers",
            marker={
                "color": style.colour,
                "size": 10 if len(x) <= FEW else 5 if style.hollow else 6,
                "opacity": 0.9 if len(x) <= FEW else 0.55 if style.hollow else 0.65,
                "symbol": style.symbol,
                "line": {"width": 1} if style.hollow else {"width": 0},
            },
            hovertemplate="%{x:.4g} → %{y:.4g}" if _numeric(x) else "%{y:.4g}",
            **named(one, models),
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
    """Draw the line y = x and set equal limits; return a sentence about points beyond these."""
    own = [cloud for name, cloud in clouds.items() if models.style(name) == CANDIDATE_STYLE]
    low, high = chart.y_range or _limits(clouds, [x for x, _ in own or clouds.values()])
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


def _limits(
    clouds: dict[str, tuple[list[float], list[float]]], labels: Sequence[list[float]]
) -> tuple[float, float]:
    """Return limits for both axes: the range of the labels, and points near it."""
    known = np.concatenate([np.asarray(x, float) for x in labels])
    every = np.array([v for x, y in clouds.values() for v in (*x, *y)])
    width = max(float(np.ptp(known)), 1e-3)
    low = max(float(every.min()), float(known.min()) - REACH * width)
    high = min(float(every.max()), float(known.max()) + REACH * width)
    pad = 0.05 * max(high - low, 1e-3)
    return low - pad, high + pad


def violins(
    plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models, limit: int
) -> None:
    """Draw the violins of a chart.

    Args:
        plot, chart, series, models, limit: as in `lines`.
    """
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
            # On a logarithmic axis the density of the logarithms is shown.
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
            **named(one, models),
        )
    plot.update_layout(violinmode="group", violingap=0.2, violingroupgap=0.05)
    plot.update_xaxes(type="category", categoryorder="array")
    plot.update_xaxes(categoryarray=[shown(c) for c in categories])


def _numeric(x: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) for v in x)
