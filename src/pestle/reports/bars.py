"""Bars of a chart. Very long bars are cut, so that the others can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import plotly.graph_objects as go

from pestle.protocols.results import Chart, Series
from pestle.reports.figures import INK, PAPER, rounded, shown
from pestle.reports.models import Models
from pestle.reports.traces import categories_of, error_bars, named
from pestle.wording import listed, number

#: Bars of a potential are cut if the longest is more than so many times as long as the longest bar
#: of the other potentials, which could not be seen beside it.
FAR = 20.0
#: Largest usual error of energies between potentials of one level of theory (eV).
SAME_LEVEL = 1.0


def _cut(chart: Chart, series: Sequence[Series]) -> float | None:
    """Return the length at which bars are cut; `None` if no bars are much longer than others."""
    if chart.log_y or chart.y_range is not None:
        return None
    floor = SAME_LEVEL if chart.y_label.endswith("(eV)") else 0.0
    longest = sorted(max(abs(v) for v in one.y if v is not None) for one in series)
    for small, large in pairwise(longest):
        if large > FAR * max(small, floor) > 0:
            return 1.25 * max(small, floor)
    return None


def bars(plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models) -> list[str]:
    """Draw the bars of a chart.

    Args:
        plot: the plot, which is changed.
        chart: the chart.
        series: its series, in the order of the legend.
        models: names and styles of the potentials.

    Returns:
        Sentences about bars that are cut, for the caption.
    """
    categories = categories_of(chart)
    few = len(categories) * len(series) <= (8 if chart.size != "wide" else 20)
    top, cut = _cut(chart, series), []
    figures = (few or top is not None) and all(one.error is None for one in series)
    for one in series:
        style = models.style(one.name)
        hatching = {
            "shape": style.pattern,
            "fgcolor": style.colour,
            "bgcolor": PAPER,
            "size": 6,
            "solidity": 0.5,
        }
        drawn = (
            one.y if top is None else [None if v is None else max(-top, min(v, top)) for v in one.y]
        )
        beyond = [a != b for a, b in zip(one.y, drawn, strict=True)]
        if any(beyond):
            cut.append(one.name)
        written = [
            f"{number(v)} {'↑' if (v or 0.0) > 0 else '↓'}" if far else number(v) if figures else ""
            for v, far in zip(one.y, beyond, strict=True)
        ]
        plot.add_bar(
            x=[shown(x) for x in one.x],
            y=rounded(drawn),
            customdata=rounded(one.y),
            error_y=error_bars(one.error, INK),
            marker={
                "color": style.colour,
                "line": {"color": style.colour, "width": 1},
                "pattern": hatching if style.pattern else None,
            },
            text=written if any(written) else None,
            textposition="outside",
            textangle=0,
            # All numbers have one size, also those of narrow bars.
            constraintext="none",
            textfont={"size": 11},
            cliponaxis=False,
            hovertemplate="%{x}: %{customdata:.4g}",
            **named(one, models),
        )
    plot.update_layout(barmode="group", bargap=0.3, bargroupgap=0.08, hovermode="closest")
    plot.update_xaxes(type="category", categoryorder="array")
    plot.update_xaxes(categoryarray=[shown(c) for c in categories])
    if top is None:
        return []
    lowest = min(v for trace in plot.data for v in trace.y if v is not None)
    plot.update_yaxes(range=[1.2 * min(0.0, lowest), 1.2 * top])
    names = listed([models.label(name) for name in cut])
    return [f"Very long bars of {names} are cut; the numbers above them are their values."]
