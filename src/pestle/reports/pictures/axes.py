"""Axes of a picture: scale, range and labels, as the plot on the page has them."""

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

#: Labels that a logarithmic axis has at least, and at most.
FEWEST, MOST = 3, 7
#: Letters below a plot of one column before they are turned.
_X_LETTERS = 34
#: Letters of the title of an axis before it goes on in a second line.
_X_TITLE, _Y_TITLE = 44, 27


def settle(axes: Axes, layout: dict[str, Any]) -> None:
    """Ranges, scales and labels; called when everything is drawn."""
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
    """Where a logarithmic axis is labelled: at decades, at 1, 2, 5 of each, at every digit, or
    within less than that at round numbers; three times at least.

    Args:
        low, high: ends of the axis, positive.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7), tuple(range(1, 10))):
        ticks = [d * 10.0**k for k in decades for d in digits if low <= d * 10.0**k <= high]
        if len(ticks) >= FEWEST:
            every = math.ceil(len(ticks) / MOST)
            return ticks[::every]
    return [float(v) for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high]


def _label(axis: Axis, low: float, high: float, place: Any) -> None:
    """Label an axis at the ticks of a logarithmic one; `place`: where a value stands on it."""
    ticks = log_ticks(low, high)
    axis.set_major_locator(FixedLocator([place(value) for value in ticks]))
    axis.set_minor_locator(NullLocator())
    words = {place(value): number(value, _digits(ticks)) for value in ticks}
    axis.set_major_formatter(
        FuncFormatter(lambda at, _: words[min(words, key=lambda known: abs(known - at))])
    )


def _digits(ticks: list[float]) -> int:
    """Significant digits that all labels need."""
    for digits in (1, 2, 3):
        if all(math.isclose(value, float(f"{value:.{digits}g}")) for value in ticks):
            return digits
    return 4


def _tick(value: float, _place: int | None = None) -> str:
    """`1,500`, `0.25`, `−3`; powers of ten for what is very large or small."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        text = f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"
        return text.replace("-", "−")
    return number(value, 2)


def is_crowded(names: list[str], width: float) -> bool:
    """Whether names below a plot run into each other; `width`: in columns of a paper."""
    return sum(len(name) + 2 for name in names) > _X_LETTERS * width


def name_categories(axes: Axes, names: list[str], width: float) -> None:
    """Names at 0, 1, 2 …; turned where they would run into each other.

    Args:
        axes: of a picture.
        names: of its categories.
        width: of the picture, in columns of a paper.
    """
    axes.set_xticks(np.arange(len(names)), names)
    if is_crowded(names, width):
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
