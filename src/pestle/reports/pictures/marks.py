"""Traces of a plot, drawn by matplotlib: curves, clouds, bands, bars and violins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pestle.reports.figures import FAINT, INK
from pestle.reports.pictures.axes import name_categories
from pestle.reports.pictures.data import is_band, plain

#: Size of lines and marks in points, for each pixel on the page.
SCALE = 0.55
_MARKS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "star": "*",
    "hexagon": "h",
    "pentagon": "p",
    "x": "X",
    "x-thin": "x",
}
DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2.5)),
    "dot": (0, (1, 1.6)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 1, 3)),
    "2px,3px": (0, (1.5, 2.2)),
}


def draw_traces(
    axes: Axes, traces: list[dict[str, Any]], categories: list[str], layout: dict[str, Any]
) -> list[Any]:
    """Draw the traces of a plot.

    Args:
        axes: axes of the picture, which are changed.
        traces: traces of the plot.
        categories: categories of the x axis; empty for numbers.
        layout: layout of the plot.

    Returns:
        The mark of each trace in the legend; `None` for bands.
    """
    beside = [t for t in traces if t.get("type") in ("bar", "violin")]
    kinds: dict[str, Callable[..., Any]] = {"bar": _bars, "violin": _violins}
    found = []
    for place, trace in enumerate(traces):
        kind = trace.get("type", "scatter")
        if kind in kinds:
            k = next(n for n, t in enumerate(beside) if t is trace)
            found.append(kinds[kind](axes, trace, categories, k, len(beside)))
        elif is_band(trace):
            _band(axes, trace)
            found.append(None)
        else:
            found.append(_line(axes, trace, 3 + place, categories))
    if any(t.get("type") == "bar" for t in beside) and layout["yaxis"].get("type") != "log":
        axes.axhline(0, color=FAINT, linewidth=0.6, zorder=1)
    return found


def colour(value: Any) -> Any:
    """Return a colour for matplotlib: `#0b5cad`, or four numbers for `rgba(166,27,27,0.08)`."""
    found = re.fullmatch(r"rgba\((\d+), ?(\d+), ?(\d+), ?([\d.]+)\)", str(value))
    if found is None:
        return value
    red, green, blue = (int(found[k]) / 255 for k in (1, 2, 3))
    return red, green, blue, float(found[4])


def _floats(values: Any) -> np.ndarray:
    """Return values as an array [n], with NaN for missing ones."""
    return np.array([np.nan if v is None else float(v) for v in values], dtype=float)


def _line(axes: Axes, trace: dict[str, Any], order: int, categories: list[str]) -> Any:
    """Draw a curve or a cloud, with its error bars; return its mark in the legend."""
    x = trace["x"]
    if categories or any(isinstance(v, str) for v in x):
        names = categories or list(dict.fromkeys(map(str, x)))
        if not categories:
            name_categories(axes, [plain(name) for name in names], 1.0)
        x = [names.index(str(v)) for v in x]
    mode, line = trace.get("mode", "lines"), trace.get("line") or {}
    marker = trace.get("marker") or {}
    symbol = str(marker.get("symbol") or "circle")
    ink = colour(marker.get("color") or line.get("color") or INK)
    hollow = symbol.endswith("-open")
    dense = "lines" not in mode and len(x) > 50
    style: dict[str, Any] = {
        "color": colour(line.get("color")) if "lines" in mode else ink,
        "linestyle": DASHES.get(line.get("dash") or "solid", "-") if "lines" in mode else "none",
        "linewidth": SCALE * float(line.get("width") or 2),
        "marker": _MARKS.get(symbol.removesuffix("-open"), "o") if "markers" in mode else "none",
        "markersize": SCALE * float(marker.get("size") or 6),
        "markerfacecolor": "none" if hollow else ink,
        "markeredgecolor": ink,
        "markeredgewidth": 0.7 if hollow or symbol == "x-thin" else 0.0,
        "alpha": float(marker.get("opacity") or 1.0) if "lines" not in mode else 1.0,
        # A cloud of many points is an image, as thousands of vectors are slow to show.
        "rasterized": dense,
        "zorder": order,
    }
    error = (trace.get("error_y") or {}).get("array")
    y = _floats(trace["y"])
    if error is not None:
        axes.errorbar(x, y, yerr=_floats(error), elinewidth=0.7, capsize=1.8, capthick=0.7, **style)
    else:
        axes.plot(x, y, clip_on=trace.get("cliponaxis", True), **style)
    shown = {k: v for k, v in style.items() if k not in ("rasterized", "zorder", "alpha")}
    return Line2D([], [], **shown)


def _band(axes: Axes, trace: dict[str, Any]) -> None:
    """Tint the region of the error of a line."""
    axes.fill(
        _floats(trace["x"]),
        _floats(trace["y"]),
        color=colour(trace.get("fillcolor")),
        alpha=float(trace.get("opacity") or 0.16),
        linewidth=0,
        zorder=2,
    )


def _bars(axes: Axes, trace: dict[str, Any], categories: list[str], k: int, n: int) -> Patch:
    """Draw the bars of series `k` of `n`, beside the others; return their mark in the legend."""
    width = 0.76 / n
    places = [categories.index(str(x)) - 0.38 + (k + 0.5) * width for x in trace["x"]]
    heights, marker = _floats(trace["y"]), trace["marker"]
    ink = colour(marker["color"])
    pattern = (marker.get("pattern") or {}).get("shape")
    style: dict[str, Any] = {"facecolor": ink, "edgecolor": ink, "linewidth": 0.6}
    if pattern:
        style |= {"facecolor": "white", "hatch": 4 * pattern}
    error = (trace.get("error_y") or {}).get("array")
    drawn = axes.bar(
        places,
        heights,
        0.92 * width,
        yerr=None if error is None else _floats(error),
        error_kw={"elinewidth": 0.7, "capsize": 1.8, "capthick": 0.7, "ecolor": INK},
        zorder=3,
        **style,
    )
    if trace.get("text"):
        axes.bar_label(drawn, [plain(text) for text in trace["text"]], fontsize=6, padding=1.5)
        axes.margins(y=0.12)
    return Patch(**style)


def _violins(axes: Axes, trace: dict[str, Any], categories: list[str], k: int, n: int) -> Patch:
    """Draw the violins of series `k` of `n`, with median and quartiles; return their mark."""
    width = 0.8 / n
    ink = colour(trace["line"]["color"])
    hollow = trace.get("fillcolor") != trace["line"]["color"]
    for place, category in enumerate(categories):
        values = [
            float(y)
            for x, y in zip(trace["x"], trace["y"], strict=True)
            if str(x) == category and y is not None
        ]
        if not values:
            continue
        at = place - 0.4 + (k + 0.5) * width
        shape: Any = axes.violinplot([values], [at], widths=0.92 * width, showextrema=False)
        for body in shape["bodies"]:
            body.set(
                facecolor="none" if hollow else ink,
                edgecolor=ink,
                alpha=1.0 if hollow else 0.65,
                linewidth=0.8,
            )
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        axes.vlines(at, low, high, color=INK, linewidth=2, zorder=4)
        axes.plot([at], [middle], "o", color="white", markersize=2, zorder=5)
    return Patch(facecolor="none" if hollow else ink, edgecolor=ink, linewidth=0.8)
