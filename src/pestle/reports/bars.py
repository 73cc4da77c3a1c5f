"""Bars of a chart, in the potentials' styles; those are cut that would flatten all others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import plotly.graph_objects as go

from pestle.protocols.results import Chart, Series
from pestle.reports.figures import PAPER, rounded, shown
from pestle.reports.models import Models
from pestle.reports.traces import categories_of, error_bars, named
from pestle.wording import listed, number

#: Bars more than so many times as long as the longest of all other potentials are cut: those could
#: not be seen beside them.
FAR = 20.0
#: Below this the errors of energies (eV) of potentials of one level of theory lie.
SAME_LEVEL = 1.0


def _cut(chart: Chart, series: Sequence[Series]) -> float | None:
    """The length at which bars are cut; `None` where no potential's dwarf those of the others."""
    if chart.log_y or chart.y_range is not None:
        return None
    floor = SAME_LEVEL if chart.y_label.endswith("(eV)") else 0.0
    longest = sorted(max(abs(v) for v in one.y if v is not None) for one in series)
    for small, large in pairwise(longest):
        if large > FAR * max(small, floor) > 0:
            return 1.25 * max(small, floor)
    return None


def bars(plot: go.Figure, chart: Chart, series: Sequence[Series], models: Models) -> list[str]:
    """The bars; returns what a reader must know of those that are cut."""
    categories = categories_of(chart)
    few = len(categories) * len(series) <= (8 if chart.size != "wide" else 20)
    top, cut = _cut(chart, series), []
    figures = (few or top is not None) and all(one.error is None for one in series)
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
        drawn = one.y if top is None else [_within(v, top) for v in one.y]
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
            error_y=error_bars(one.error),
            marker={
                "color": style.colour,
                "line": {"color": style.colour, "width": 1},
                "pattern": hatching if style.pattern else None,
            },
            text=written if any(written) else None,
            textposition="outside",
            textangle=0,
            # A figure is as large as the others, however narrow its bar.
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
    return [f"Cut, with their figures above them: bars of {names}, too long to see others beside."]


def _within(value: float | None, top: float) -> float | None:
    """A value, or the bound that it lies beyond."""
    return None if value is None else max(-top, min(value, top))
