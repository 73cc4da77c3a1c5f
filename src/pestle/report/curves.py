"""Learning curves: validation errors, losses and the learning rate over the epochs."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from pestle.report.figures import INK, Figure, empty_plot, log_axis, rounded
from pestle.report.models import FOUNDATION, Models
from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import is_number

_TRAIN_COLOUR = "#93a3b8"

#: Field of `valid` → title, axis.
_ERRORS = {
    "energy_rmse": ("Energy RMSE, validation", "energy RMSE (meV/atom)"),
    "forces_rmse": ("Force RMSE, validation", "force RMSE (meV/Å)"),
    "stress_rmse": ("Stress RMSE, validation", "stress RMSE (meV/Å³)"),
}


def learning_curves(folder: RunFolder, models: Models) -> list[Figure]:
    """One plot for each quantity that was recorded; the best epoch is marked in all."""
    records = folder.metrics
    best = best_epoch(folder)
    start = nothing_trained(folder)
    own, before = models.colours[models.tuned], models.colours[FOUNDATION]
    figures = []
    for key, (title, axis) in _ERRORS.items():
        points = _points(records, lambda r, key=key: nested(r, "valid").get(key), positive=True)
        if points:
            plot = _epochs_plot(axis, [y for _, y in points])
            _line(plot, points, "validation", own)
            if start and points[0][0] == 0:
                _start(plot, points[0], before)
            figures.append(_finished(f"curve-{key.replace('_', '-')}", title, plot, best))
    valid = _points(records, lambda r: nested(r, "valid").get("loss"), positive=True)
    train = _points(records, lambda r: nested(r, "train").get("loss"), positive=True)
    losses = _epochs_plot("loss", [y for _, y in (*train, *valid)])
    if train:
        _line(losses, train, "training", _TRAIN_COLOUR, dash="dot")
    if valid:
        _line(losses, valid, "validation", own)
    if train or valid:
        losses.update_layout(showlegend=True)
        figures.append(_finished("curve-loss", "Loss", losses, best))
    rates = _points(records, lambda r: r.get("lr"), positive=True)
    if rates:
        values = [y for _, y in rates]
        plot = _epochs_plot("learning rate", values if max(values) > 5 * min(values) else None)
        _line(plot, rates, "learning rate", INK)
        if max(values) == min(values):
            plot.update_yaxes(range=[0, 1.5 * values[0]])
        figures.append(_finished("curve-lr", "Learning rate", plot, best))
    return figures


def best_epoch(folder: RunFolder) -> float | None:
    """The epoch whose weights were kept."""
    epoch = folder.part("training").get("best_epoch")
    if is_number(epoch):
        return float(epoch)
    marked = [r["epoch"] for r in folder.metrics if r.get("best")]
    return float(marked[-1]) if marked else None


def nothing_trained(folder: RunFolder) -> bool:
    """Whether epoch 0 is the foundation with the new E0s (with scratch it is random weights)."""
    return folder.part("method").get("name") != "scratch"


def _points(records: list[dict[str, Any]], value: Any, *, positive: bool) -> list[tuple]:
    pairs = [(r["epoch"], value(r)) for r in records]
    return [(x, y) for x, y in pairs if is_number(y) and (y > 0 or not positive)]


def _epochs_plot(axis: str, values: list[float] | None = None) -> go.Figure:
    """Axes over the epochs; logarithmic where values are given to choose the ticks by."""
    plot = empty_plot("epoch", axis)
    plot.update_layout(showlegend=False, hovermode="x")
    if values:
        plot.update_yaxes(**log_axis(values))
    return plot


def _line(
    plot: go.Figure, points: list[tuple], name: str, colour: str, dash: str = "solid"
) -> None:
    few = len(points) < 15
    plot.add_scatter(
        x=[x for x, _ in points],
        y=rounded([y for _, y in points]),
        name=name,
        mode="lines+markers" if few else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "size": 5},
        hovertemplate="%{y:.3g}",
    )


def _start(plot: go.Figure, point: tuple, colour: str) -> None:
    """Epoch 0 in the foundation's colour."""
    plot.add_scatter(
        x=[point[0]],
        y=rounded([point[1]]),
        name="foundation with the new E0s",
        mode="markers",
        marker={"color": colour, "size": 9, "symbol": "circle"},
        hovertemplate="%{y:.3g}",
        cliponaxis=False,
    )
    plot.update_layout(showlegend=True)


def _finished(name: str, title: str, plot: go.Figure, best: float | None) -> Figure:
    if best is not None:
        xs = [x for trace in plot.data for x in trace.x]
        late = best > 0.6 * max(xs)
        plot.add_vline(
            x=best,
            line={"color": INK, "width": 1, "dash": "dash"},
            annotation={
                "text": f"best: epoch {best:g}",
                "font": {"size": 11},
                "yanchor": "top",
                "xanchor": "right" if late else "left",
                "bgcolor": "rgba(255,255,255,0.8)",
            },
        )
    return Figure(name, title, "", plot)
