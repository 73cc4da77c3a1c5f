"""The data of a plot as CSV; the button on the page writes the same (templates/save.js)."""

from __future__ import annotations

import csv
import html
import io
from typing import Any

from pestle.reports.figures import Figure


def plain(text: Any) -> str:
    """Return a text of a plot without the HTML for plotly."""
    return html.unescape(str(text or "").replace("<br>", " "))


def title_of(axis: dict[str, Any]) -> str:
    """Return the title of an axis in one line."""
    title = axis.get("title") or {}
    return plain(title.get("text") if isinstance(title, dict) else title)


def csv_of(figure: Figure) -> str:
    """Return the data of a plot as CSV, a line for each point.

    The columns are series, x and y and, with errors, lower and upper end; of means over runs also
    n, their number. The headings are the titles of the axes, with units.

    Args:
        figure: the plot.
    """
    plot = figure.plot.to_plotly_json()
    layout = plot["layout"]
    rows = [row for trace in plot["data"] for row in _rows(trace, layout)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ranges = any(row[3] is not None for row in rows)
    head = ["series", title_of(layout["xaxis"]) or "x", title_of(layout["yaxis"]) or "y"]
    runs = (layout.get("meta") or {}).get("runs")
    counts = {(of, _place(x)): n for of, *points in runs or () for x, n in points}
    head += ["lower", "upper"] if ranges else []
    writer.writerow([*head, "n"] if runs else head)
    for row in rows:
        shown = list(row if ranges else row[:3])
        shown += [counts.get((row[0], _place(row[1])))] if runs else []
        writer.writerow(["" if value is None else value for value in shown])
    return out.getvalue()


def _place(x: Any) -> str:
    """Return a value of x as text, the same for a number and its rounded form."""
    return f"{x:g}" if isinstance(x, int | float) else str(x)


def is_band(trace: dict[str, Any]) -> bool:
    """Whether a trace is the tinted error of a line: first its upper edge, then the lower one."""
    return trace.get("fill") == "toself"


def log_violins(layout: dict[str, Any]) -> bool:
    """Whether the values of violins are logarithms."""
    return bool((layout.get("meta") or {}).get("logarithms"))


def _rows(trace: dict[str, Any], layout: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the points of a trace as series, x, y, lower and upper end."""
    name = plain(trace.get("name") or trace.get("legendgroup"))
    x, y = list(trace.get("x") or ()), list(trace.get("y") or ())
    if trace.get("type") == "bar" and trace.get("customdata") is not None:
        y = list(trace["customdata"])  # where bars are cut
    if not name:  # the line of agreement in a parity plot
        return []
    if is_band(trace):
        half = len(x) // 2
        lower = y[half:][::-1]
        return [(name, x[k], None, lower[k], y[k]) for k in range(half)]
    if trace.get("type") == "violin" and log_violins(layout):
        y = [None if value is None else float(f"{10.0**value:.6g}") for value in y]
    error = (trace.get("error_y") or {}).get("array") or [None] * len(y)
    rows = []
    for one, value, e in zip(x, y, error, strict=True):
        known = value is not None and e is not None
        edges = (value - e, value + e) if known else (None, None)
        rows.append((name, plain(one) if isinstance(one, str) else one, value, *edges))
    return rows
