"""Axes of a picture: scale, range and labels, as in the plot on the page."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pestle.reports.pictures.data import log_violins, plain
from pestle.wording import number

#: Smallest and largest number of labels on a logarithmic axis.
FEWEST, MOST = 3, 7
#: Number of letters that fit below a plot of one column; longer names are turned.
_X_LETTERS = 34
#: Number of letters in a line of the title of an axis.
_X_TITLE, _Y_TITLE = 44, 27


def settle(axes: Axes, layout: dict[str, Any]) -> None:
    """Set ranges, scales and labels when everything is drawn.

    Args:
        axes: axes of the picture, which are changed.
        layout: layout of the plot.
    """
    for axis, which, limits in (
        (axes.xaxis, "xaxis", axes.get_xlim),
        (axes.yaxis, "yaxis", axes.get_ylim),
    ):
        own = layout[which]
        set_limits = axes.set_xlim if which == "xaxis" else axes.set_ylim
        set_scale = axes.set_xscale if which == "xaxis" else axes.set_yscale
        logarithmic = own.get("type") == "log"
        if logarithmic:
            set_scale("log")
        if own.get("range") is not None:
            low, high = own["range"]
            set_limits(*((10.0**low, 10.0**high) if logarithmic else (low, high)))
        if logarithmic:
            _label(axis, *limits(), lambda value: value)
        elif which == "yaxis" and log_violins(layout):
            low, high = limits()
            _label(axis, 10.0**low, 10.0**high, math.log10)
        elif own.get("type") != "category":
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(FuncFormatter(_tick))
        title = (own.get("title") or {}).get("text")
        letters = _X_TITLE if which == "xaxis" else _Y_TITLE
        text = textwrap.fill(plain(title), letters, break_long_words=False)
        (axes.set_xlabel if which == "xaxis" else axes.set_ylabel)(text)
    if layout["yaxis"].get("scaleanchor"):
        axes.set_aspect("equal", adjustable="box")


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values at which a logarithmic axis has labels, at least three if possible.

    They are decades or, on a short axis, 1, 2 and 5 of each, more digits, or round numbers.

    Args:
        low, high: ends of the axis, which are positive.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7), tuple(range(1, 10))):
        ticks = [d * 10.0**k for k in decades for d in digits if low <= d * 10.0**k <= high]
        if len(ticks) >= FEWEST:
            every = math.ceil(len(ticks) / MOST)
            return ticks[::every]
    return [float(v) for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high]


def _label(axis: Axis, low: float, high: float, place: Any) -> None:
    """Label a logarithmic axis; `place` returns the position of a value on the axis."""
    ticks = log_ticks(low, high)
    # As many significant digits as all labels need.
    digits = next(
        (n for n in (1, 2, 3) if all(math.isclose(v, float(f"{v:.{n}g}")) for v in ticks)), 4
    )
    axis.set_major_locator(FixedLocator([place(value) for value in ticks]))
    axis.set_minor_locator(NullLocator())
    words = {place(value): number(value, digits) for value in ticks}
    axis.set_major_formatter(
        FuncFormatter(lambda at, _: words[min(words, key=lambda known: abs(known - at))])
    )


def _tick(value: float, _place: int | None = None) -> str:
    """Return a label: `1,500`, `0.25`, `−3`; very large and small numbers with a power of ten."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        text = f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"
        return text.replace("-", "−")
    return number(value, 2)


def is_crowded(names: list[str], width: float) -> bool:
    """Whether names below a plot would overlap.

    Args:
        names: names of the categories.
        width: width of the picture, in columns of a paper.
    """
    return sum(len(name) + 2 for name in names) > _X_LETTERS * width


def name_categories(axes: Axes, names: list[str], width: float) -> None:
    """Write names at 0, 1, 2 … on the x axis; they are turned if they would overlap.

    Args:
        axes: axes of the picture, which are changed.
        names: names of the categories.
        width: width of the picture, in columns of a paper.
    """
    axes.set_xticks(np.arange(len(names)), names)
    if is_crowded(names, width):
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
