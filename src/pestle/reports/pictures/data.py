"""The data of a plot as CSV; the page's own button writes the same (templates/save.js)."""

from __future__ import annotations

import csv
import html
import io
from typing import Any

from pestle.reports.figures import Figure


def plain(text: Any) -> str:
    """Text of a plot without the HTML that plotly reads in it."""
    return html.unescape(str(text or "").replace("<br>", " "))


def title_of(axis: dict[str, Any]) -> str:
    """Title of an axis, in one line."""
    title = axis.get("title") or {}
    return plain(title.get("text") if isinstance(title, dict) else title)


def csv_of(figure: Figure) -> str:
    """One line a point: series, x, y and, where it is known, the range of its error.

    Heads are the titles of the axes, with their units.
    """
    plot = figure.plot.to_plotly_json()
    layout = plot["layout"]
    rows = [row for trace in plot["data"] for row in _rows(trace, layout)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ranges = any(row[3] is not None for row in rows)
    head = ["series", title_of(layout["xaxis"]) or "x", title_of(layout["yaxis"]) or "y"]
    writer.writerow([*head, "lower", "upper"] if ranges else head)
    for row in rows:
        shown = row if ranges else row[:3]
        writer.writerow(["" if value is None else value for value in shown])
    return out.getvalue()


def is_band(trace: dict[str, Any]) -> bool:
    """Whether a trace is the tinted error of a line: its upper edge, then its lower one back."""
    return trace.get("fill") == "toself"


def log_violins(layout: dict[str, Any]) -> bool:
    """Whether violins are of logarithms, on an axis that is labelled with the values."""
    return bool((layout.get("meta") or {}).get("logarithms"))


def _rows(trace: dict[str, Any], layout: dict[str, Any]) -> list[tuple[Any, ...]]:
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
