"""Common properties of all plots: plain axes with units, one font, no title (the page has
headings).
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pestle.protocols.results import Chart
from pestle.structures.frame import evenly
from pestle.wording import number

INK, GRID, FAINT = "#27272a", "#e7e5e4", "#a8a29e"
PAPER, VEIL = "#ffffff", "rgba(255,255,255,0.8)"
FOUNDATION_COLOUR, TUNED_COLOUR, SCRATCH_COLOUR = "#7a6a58", "#0b5cad", "#c2410c"
REFERENCE_COLOUR = "#18181b"
#: Colours of further models, in order.
OTHER_COLOURS = ("#0f766e", "#86198f", "#a16207", "#be123c", "#4d7c0f", "#475569")
TRAIN_COLOUR, REPLAY_COLOUR = "#93a3b8", "#b45309"
BUDGET_COLOUR, BEYOND_COLOUR = "#a61b1b", "rgba(166,27,27,0.08)"

#: Colour → colour on a dark screen.
DARK = {
    INK: "#e7e5e4",
    GRID: "#3f3f46",
    FAINT: "#8a8580",
    PAPER: "#18181b",
    VEIL: "rgba(24,24,27,0.8)",
    FOUNDATION_COLOUR: "#c0ad97",
    TUNED_COLOUR: "#6cb2ff",
    SCRATCH_COLOUR: "#ff8f5e",
    REFERENCE_COLOUR: "#fafafa",
    TRAIN_COLOUR: "#8ea0b8",
    REPLAY_COLOUR: "#f0ad4e",
    BUDGET_COLOUR: "#ff8a8a",
    BEYOND_COLOUR: "rgba(255,138,138,0.12)",
    "#0f766e": "#4fd1c5",
    "#86198f": "#e08ae8",
    "#a16207": "#e3b341",
    "#be123c": "#ff8fa3",
    "#4d7c0f": "#a3d65c",
    "#475569": "#a8b5c8",
}


#: Possible largest numbers of values of a series, from fine to coarse.
STEPS = (3000, 1500, 800, 400, 200, 100, 50)
#: Largest number of values on a page: about 3 MB of text, beside 5 MB of the plotting library.
PAGE_VALUES = 150_000
#: Fraction of a thinned cloud that is reserved for the largest deviations from the diagonal.
WORST_SHARE = 0.1
#: Largest number of points in a cloud; an SVG with more is slow to open and not clearer.
CLOUD = 1500


def limit_for(charts: Sequence[Chart]) -> int:
    """Return the largest number of values of a series, so that a page with these charts is small.

    Args:
        charts: all charts of the page.
    """
    lengths = np.array([len(series.y) for chart in charts for series in chart.series])
    return next((n for n in STEPS if np.minimum(lengths, n).sum() <= PAGE_VALUES), STEPS[-1])


def cloud(x: Sequence[float], y: Sequence[float], limit: int, *, diagonal: bool) -> np.ndarray:
    """Return the indices of the points to keep.

    Args:
        x, y: coordinates of the points.
        limit: largest number of points.
        diagonal: whether the points with the largest deviation from y = x are preferred; otherwise
            the points are evenly chosen.
    """
    limit = min(limit, CLOUD)
    if len(x) <= limit:
        return np.arange(len(x))
    worst = round(WORST_SHARE * limit) if diagonal else 0
    deviation = (
        -np.abs(np.asarray(y, float) - np.asarray(x, float)) if diagonal else np.zeros(len(x))
    )
    order = np.argsort(deviation, kind="stable")
    rest = np.sort(order[worst:]).tolist()
    return np.sort([*order[:worst].tolist(), *evenly(rest, limit - worst)])


def line(y: Sequence[float | None], limit: int) -> np.ndarray:
    """Return the indices of a curve to keep: lowest and highest value of each section, and gaps.

    Args:
        y: values of the curve; `None` for gaps.
        limit: number of values above which a curve is thinned.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    values = np.array([np.nan if v is None else v for v in y], dtype=float)
    keep = [0, len(values) - 1]
    for part in np.array_split(np.arange(len(values)), max(1, limit // 3)):
        gaps = np.isnan(values[part])
        keep += part[gaps][:1].tolist()
        if not gaps.all():
            keep += [int(part[np.nanargmin(values[part])]), int(part[np.nanargmax(values[part])])]
    return np.array(sorted(set(keep)))


def distribution(values: Sequence[float], limit: int) -> list[float]:
    """Return fewer values with the same quantiles, including the smallest and the largest.

    Args:
        values: the values, in any order.
        limit: largest number of values that are kept.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) > limit:
        ordered = ordered[np.linspace(0, len(ordered) - 1, limit).round().astype(int)]
    return ordered.tolist()


def picked(values: Sequence[Any], indices: np.ndarray) -> list[Any]:
    """Return the values at these indices."""
    return [values[k] for k in indices]


FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A plot and the words around it.

    Attributes:
        name: unique name on the page, of letters, digits and dashes.
        title: heading above it.
        caption: sentence below it.
        plot: the plot itself.
        shape: `half` (two beside each other where there is room), `wide`, or `small` (three).
        square: whether it is as high as it is wide.
    """

    name: str
    title: str
    caption: str
    plot: go.Figure
    shape: str = "half"
    square: bool = False

    @property
    def json(self) -> str:
        """The plot as JSON for a <script> element."""
        return for_script(self.plot.to_json())


def for_script(text: str) -> str:
    """Escape `<` in JSON for a <script> element, so that no name in it can end the element."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shown(name: Any) -> str:
    """Escape a name for plotly, which interprets some HTML in every text."""
    return html.escape(str(name), quote=False)


def empty_plot(x_title: str, y_title: str) -> go.Figure:
    """Return axes without data.

    Args:
        x_title, y_title: titles of the axes, escaped for plotly.
    """
    axis = {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "tickcolor": FAINT,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        "exponentformat": "power",
        "minexponent": 5,
        "separatethousands": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    plot = go.Figure()
    plot.update_layout(
        template="none",
        font={"family": FONT, "size": 12.5, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 56, "r": 14, "t": 10, "b": 44},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 11.5},
            "itemsizing": "constant",
        },
        hoverlabel={"font": {"family": FONT}},
        autosize=True,
    )
    plot.update_xaxes(**axis)
    plot.update_yaxes(**axis)
    plot.update_xaxes(title_text=x_title)
    plot.update_yaxes(title_text=y_title)
    return plot


def rounded(values: list[Any]) -> list[float | None]:
    """Round to six digits: a plot shows no more, and the page has half the size."""
    return [float(f"{v:.6g}") if isinstance(v, int | float) else None for v in values]


#: Smallest and approximate largest number of labels on a logarithmic axis.
MIN_LABELS, MAX_LABELS = 3, 8


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis with at least three labels within the range of the values.

    Labels stand at the decades. If fewer than three decades are within the range, they stand at 1,
    2 and 5 of each decade, or at more digits, or in equal steps. Plotly's own labels between the
    decades are single digits, which are hard to read.

    Args:
        values: positive values.

    Returns:
        Properties of a plotly axis.
    """
    low, high = math.log10(min(values)), math.log10(max(values))
    if high - low < 1e-6:
        # A single value gets a decade on either side.
        low, high = low - 1, high + 1
    first, last = math.floor(low) - 1, math.ceil(high) + 1
    step = max(1, math.ceil((high - low) / MAX_LABELS))
    grids = [[10.0**k for k in range(first - first % step, last + step, step)]]
    grids += [
        [m * 10.0**k for k in range(first, last + 1) for m in digits]
        for digits in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
    ]
    grids.append(_even(10**low, 10**high))

    def inside(ticks: list[float]) -> int:
        return sum(low <= math.log10(tick) <= high for tick in ticks)

    ticks = next((grid for grid in grids if inside(grid) >= MIN_LABELS), grids[-1])
    return {"type": "log", "tickvals": ticks, "ticktext": [_exact(tick) for tick in ticks]}


def _even(low: float, high: float) -> list[float]:
    """Return round numbers in equal steps, at least three of them within the bounds."""
    rough = (high - low) / (MIN_LABELS + 1)
    power = 10.0 ** math.floor(math.log10(rough))
    # By rounding, a rough step may be slightly smaller than a power of ten.
    step = max(m * power for m in (0.5, 1, 2, 2.5, 5) if m * power <= rough)
    places = range(max(1, int(low / step) - 1), int(high / step) + 3)
    return [float(f"{k * step:.12g}") for k in places]


def _exact(value: float) -> str:
    """Return a round number with all its digits."""
    digits = (d for d in range(1, 9) if math.isclose(float(f"{value:.{d - 1}e}"), value))
    return number(value, next(digits, 9))
