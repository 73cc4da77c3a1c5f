"""Parity plots: prediction against label, energies per atom and force components, set by set."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from pestle.report.colours import FAINT, INK
from pestle.report.error_tables import QUANTITIES, set_heading, set_names
from pestle.report.figures import Figure, empty_plot, rounded, shown
from pestle.report.models import FOUNDATION, Models
from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import count, is_number, number

#: Points drawn for a model at most: an SVG with more is slow to open and no clearer.
MAX_POINTS = 1500
#: Share of these that goes to the largest deviations; outliers must not be thinned away.
WORST_SHARE = 0.1
#: The frame reaches this many widths of the labels' range beyond it. A model that blew up would
#: else press all others into one point.
REACH = 1.0

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
_AXES = {
    "energy": ("reference energy (eV/atom)", "predicted energy (eV/atom)"),
    "forces": ("reference force component (eV/Å)", "predicted force component (eV/Å)"),
}
_TITLES = {"energy": "Energy per atom", "forces": "Force components"}


def parity_plots(folder: RunFolder, models: Models) -> list[dict[str, Any]]:
    """For each set its title and the plots of energy and forces."""
    sections: list[dict[str, Any]] = []
    for name in set_names(folder.parity or {}):
        figures = []
        for quantity in _AXES:
            points = {
                model: found
                for model in models.names
                if (found := _points(nested(folder.parity, name, model), quantity))
            }
            if points:
                caption = _caption(nested(folder.errors, "sets", name), quantity, points, models)
                slug = f"parity-{len(sections)}-{quantity}"
                plot, outside = _plot(points, quantity, models, name)
                figures.append(Figure(slug, _TITLES[quantity], caption + outside, plot))
        if figures:
            sections.append({"title": set_heading(name), "figures": figures})
    return sections


def _points(columns: dict[str, Any], quantity: str) -> list[tuple[float, float, str]]:
    """(label, prediction, group) of every finite pair, thinned evenly but for the worst."""
    reference = columns.get(f"{quantity}_ref") or []
    predicted = columns.get(f"{quantity}_pred") or []
    groups = columns.get(f"{quantity}_group") or [""] * len(reference)
    found = [
        (float(x), float(y), str(g))
        for x, y, g in zip(reference, predicted, groups, strict=False)
        if is_number(x) and is_number(y)
    ]
    if len(found) <= MAX_POINTS:
        return found
    order = np.argsort([-abs(y - x) for x, y, _ in found], kind="stable")
    worst = int(WORST_SHARE * MAX_POINTS)
    rest = np.sort(order[worst:])
    even = rest[np.linspace(0, len(rest) - 1, MAX_POINTS - worst).astype(int)]
    return [found[k] for k in np.sort(np.concatenate([order[:worst], even]))]


def _range(points: dict[str, list[tuple[float, float, str]]], quantity: str) -> tuple[float, float]:
    """The same limits for both axes; about zero for forces."""
    labels = np.array([x for found in points.values() for x, _, _ in found])
    every = np.array([v for found in points.values() for x, y, _ in found for v in (x, y)])
    width = max(float(np.ptp(labels)), 1e-3)
    low = max(float(every.min()), float(labels.min()) - REACH * width)
    high = min(float(every.max()), float(labels.max()) + REACH * width)
    if quantity == "forces":
        high = max(abs(low), abs(high))
        low = -high
    pad = 0.05 * max(high - low, 1e-3)
    return low - pad, high + pad


def _plot(
    points: dict[str, list[tuple[float, float, str]]], quantity: str, models: Models, in_set: str
) -> tuple[go.Figure, str]:
    """The plot, and a sentence about points outside its frame."""
    low, high = _range(points, quantity)
    plot = empty_plot(*_AXES[quantity])
    line = {"color": FAINT, "width": 1.2}
    plot.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line=line, hoverinfo="skip", showlegend=False
    )
    groups = list(dict.fromkeys(g for found in points.values() for _, _, g in found))
    symbols = {g: _SYMBOLS[k % len(_SYMBOLS)] for k, g in enumerate(groups)}
    # This run's model is drawn last, on top of the others.
    for model in sorted(points, key=lambda m: (m == models.tuned, m != FOUNDATION)):
        found, hollow = points[model], model == FOUNDATION
        plot.add_scatter(
            x=rounded([x for x, _, _ in found]),
            y=rounded([y for _, y, _ in found]),
            mode="markers",
            name=shown(model),
            text=[shown(g) for _, _, g in found] if groups != [""] else None,
            marker={
                "color": models.colours[model],
                "size": 5 if hollow else 6,
                "opacity": 0.55 if hollow else 0.65,
                "symbol": [symbols[g] + ("-open" if hollow else "") for _, _, g in found],
                "line": {"width": 1} if hollow else {"width": 0},
            },
            hovertemplate="%{text} %{x:.4g} → %{y:.4g}"
            if groups != [""]
            else "%{x:.4g} → %{y:.4g}",
        )
    if 1 < len(groups) <= len(_SYMBOLS):
        for group in groups:
            # Empty traces: they explain the shapes in the legend and draw nothing.
            plot.add_scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=shown(group),
                marker={"color": INK, "size": 7, "symbol": symbols[group]},
            )
    plot.update_xaxes(range=[low, high], constrain="domain", nticks=6)
    plot.update_yaxes(range=[low, high], constrain="domain", nticks=6, scaleanchor="x")
    plot.update_layout(hovermode="closest", showlegend=True)
    beyond = {
        models.label(m, in_set): sum(
            not (low <= x <= high and low <= y <= high) for x, y, _ in found
        )
        for m, found in points.items()
    }
    text = ", ".join(f"{n} of {label}" for label, n in beyond.items() if n)
    return plot, f" Points outside the frame: {text}." if text else ""


def _caption(
    by_model: dict[str, Any],
    quantity: str,
    points: dict[str, list[tuple[float, float, str]]],
    models: Models,
) -> str:
    """RMSE of each model and how many points are drawn."""
    rmse = {m: nested(by_model, m, "all").get(f"{quantity}_rmse") for m in points}
    known = [f"{m} {number(v)}" for m, v in rmse.items() if is_number(v)]
    text = f"RMSE: {' · '.join(known)} {QUANTITIES[quantity][1]}. " if known else ""
    largest = max(len(found) for found in points.values())
    return f"{text}{count(largest)} points for each model."
