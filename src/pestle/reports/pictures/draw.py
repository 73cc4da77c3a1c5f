"""Plots of the page, drawn by matplotlib with the same data, colours and marks for a paper."""

from __future__ import annotations

from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from pestle.reports.figures import FAINT, INK, Figure
from pestle.reports.pictures.axes import is_crowded, name_categories, settle
from pestle.reports.pictures.data import plain
from pestle.reports.pictures.marks import DASHES, SCALE, colour, draw_traces

#: Widths of one and of two columns of a paper, and heights of a picture (cm).
COLUMN, TWO_COLUMNS = 8.5, 17.5
HEIGHT, SQUARE = 6.2, 8.2
#: Height of a line of a legend, and of a letter of a turned name (cm).
LINE, TURNED = 0.36, 0.07
#: A wide plot with more lines than this takes two columns.
MANY = 6
_CM = 1 / 2.54
#: Settings of matplotlib. Fonts are embedded in PDF, and letters are outlines in SVG, so that it
#: looks the same everywhere.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "pestle",
}


def draw(figure: Figure) -> Picture:
    """Draw a plot, as wide as one column, or as two if its categories need it.

    Args:
        figure: the plot of a page.
    """
    plot = figure.plot.to_plotly_json()
    layout, traces = plot["layout"], plot["data"]
    categories: list[str] = []
    if layout["xaxis"].get("type") == "category":
        categories = list(dict.fromkeys(str(x) for trace in traces for x in trace.get("x") or ()))
    names = list(dict.fromkeys(plain(t.get("name")) for t in traces if t.get("name")))
    wide = figure.shape == "wide" and (len(categories) > 0 or len(names) > MANY)
    width = TWO_COLUMNS if wide else COLUMN
    height = SQUARE if figure.square else HEIGHT
    # Legend and turned names get extra height, so that the plot itself keeps its height.
    height += LINE * (-(-len(names) // _columns(names, width)) - 1)
    if is_crowded(categories, width / COLUMN):
        height += TURNED * max(map(len, categories))
    with rc_context(STYLE):
        picture = Picture(figsize=(width * _CM, height * _CM), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.add_subplot()
        if categories:
            name_categories(axes, [plain(name) for name in categories], width / COLUMN)
        handles: dict[str, tuple[float, Any]] = {}
        for trace, handle in zip(
            traces, draw_traces(axes, traces, categories, layout), strict=True
        ):
            name = plain(trace.get("name"))
            if name and handle is not None and name not in handles:
                handles[name] = (trace.get("legendrank", 1000), handle)
        for shape in layout.get("shapes") or ():
            _shape(axes, shape)
        settle(axes, layout)
        for note in layout.get("annotations") or ():
            _note(axes, note)
        if len(handles) > 1 or (handles and layout.get("showlegend") is True):
            _legend(picture, handles, width)
    return picture


def _columns(names: list[str], width: float) -> int:
    """Return the number of columns of a legend that fit in a width (cm)."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), round(52 * width / COLUMN) // (longest + 7)))


def _shape(axes: Axes, shape: dict[str, Any]) -> None:
    """Draw a line or a tinted region across the plot."""
    line = shape.get("line") or {}
    style: dict[str, Any] = {
        "color": colour(line.get("color") or INK),
        "linewidth": SCALE * float(line.get("width") or 1),
        "linestyle": DASHES.get(line.get("dash") or "solid", "-"),
        "zorder": 2,
    }
    if shape["type"] == "rect":
        axes.axhspan(
            shape["y0"], shape["y1"], facecolor=colour(shape["fillcolor"]), linewidth=0, zorder=0
        )
    elif shape["x0"] == shape["x1"] and "domain" in str(shape.get("yref")):
        axes.axvline(shape["x0"], **style)
    elif shape["y0"] == shape["y1"] and "domain" in str(shape.get("xref")):
        axes.axhline(shape["y0"], **style)
    else:
        axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], **style)


def _note(axes: Axes, note: dict[str, Any]) -> None:
    """Write a text beside a line, at the top of the plot."""
    left = note.get("xanchor") == "right"
    axes.annotate(
        plain(note["text"]),
        (note["x"], 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-2 if left else 2, -2),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=6.5,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
        zorder=50,
    )


def _legend(picture: Picture, handles: dict[str, tuple[float, Any]], width: float) -> None:
    """Draw the legend above the plot, in as many columns as fit."""
    names = sorted(handles, key=lambda name: handles[name][0])
    picture.legend(
        [handles[name][1] for name in names],
        names,
        loc="outside upper left",
        ncols=_columns(names, width),
        frameon=False,
        handlelength=2.2,
        columnspacing=1.2,
        borderpad=0.1,
    )
