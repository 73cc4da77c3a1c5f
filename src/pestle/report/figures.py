"""What all plots share: plain axes with units, one font, no title (the page has headings)."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from pestle.report.colours import FAINT, GRID, INK, PAPER
from pestle.report.wording import number

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A plot and the words around it.

    Attributes:
        name: unique on the page; letters, digits and dashes.
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
        """For a <script> element."""
        return for_script(self.plot.to_json())


def for_script(text: str) -> str:
    """JSON for a <script> element: `<` is escaped, so that no name in it can end the element."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shown(name: Any) -> str:
    """A name as plotly must get it: it reads a subset of HTML in every text."""
    return html.escape(str(name), quote=False)


def empty_plot(x_title: str, y_title: str) -> go.Figure:
    """Axes without data."""
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
        "title": {"standoff": 8},
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
    """Six digits are more than a plot can show, and halve the page's data."""
    return [float(f"{v:.6g}") if isinstance(v, int | float) else None for v in values]


def log_axis(values: list[float]) -> dict[str, Any]:
    """A logarithmic axis with labels at 1, 2, 5 of each decade, or at the decades if many.

    Plotly's own labels name the decades in full and the rest by one digit, which few can read.
    """
    low, high = math.log10(min(values)), math.log10(max(values))
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(math.floor(low) - 1, math.ceil(high) + 2)
    ticks = [m * 10.0**k for k in decades for m in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [number(v, 1) for v in ticks]}
