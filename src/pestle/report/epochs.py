"""Plots over the epochs: what learning curves and drift have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from pestle.report.colours import INK, VEIL
from pestle.report.figures import Figure, empty_plot, log_axis, rounded
from pestle.report.models import REPLAY_HEAD
from pestle.report.run_folder import RunFolder, nested
from pestle.report.thinning import line as thinned
from pestle.report.thinning import picked
from pestle.report.wording import is_number

#: (epoch, value)
Point = tuple[float, float]

#: Evaluations that a line shows; of more, the peaks.
MAX_EPOCHS = 2000
#: A first value below this share of all others is rounding: the model still is the foundation.
EXACT_SHARE = 1e-2


def best_epoch(folder: RunFolder) -> float | None:
    """The epoch whose weights were kept."""
    epoch = folder.part("training").get("best_epoch")
    if is_number(epoch):
        return float(epoch)
    marked = [r["epoch"] for r in folder.metrics if r.get("best")]
    return float(marked[-1]) if marked else None


def best_record(folder: RunFolder) -> dict[str, Any]:
    """The evaluation whose weights were kept; empty if there is none."""
    epoch = best_epoch(folder)
    named = [r for r in folder.metrics if r["epoch"] == epoch]
    marked = [r for r in folder.metrics if r.get("best")]
    return (named or marked or [{}])[-1]


def chosen_by(folder: RunFolder) -> str:
    """Whose metric chooses the model, in words."""
    head = folder.setting("train.best_head") == REPLAY_HEAD
    return "replay head" if head else watched_in_words(folder)


def watched(record: dict[str, Any]) -> dict[str, Any]:
    """Figures of the target head at an evaluation: on validation frames, or in a run without them
    on frames that it is trained on."""
    return nested(record, "valid") or nested(record, "train_frames")


def watched_in_words(folder: RunFolder) -> str:
    """What those frames are: `validation`, or `training frames`."""
    no_validation = any("train_frames" in record for record in folder.metrics)
    return "training frames" if no_validation else "validation"


def nothing_trained(folder: RunFolder) -> bool:
    """Whether epoch 0 is the foundation with the new E0s (with scratch it is random weights)."""
    return not folder.from_scratch


def positive_points(
    records: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]
) -> list[Point]:
    """The evaluations that have a value which a logarithmic axis can show."""
    pairs = [(r["epoch"], value(r)) for r in records]
    return [(x, y) for x, y in pairs if is_number(y) and y > 0]


def without_exact_start(points: list[Point]) -> list[Point]:
    """The same without epoch 0 where that is exact but for rounding.

    A replay head still is the foundation then; its rounding would stretch a logarithmic axis over
    many empty decades.
    """
    later = [y for x, y in points if x > 0]
    exact = later and points[0][0] == 0 and points[0][1] < EXACT_SHARE * min(later)
    return points[1:] if exact else points


def epochs_plot(axis: str, values: list[float] | None = None) -> go.Figure:
    """Axes over the epochs; logarithmic where values are given to choose the ticks by."""
    plot = empty_plot("epoch", axis)
    plot.update_layout(showlegend=False, hovermode="x")
    if values:
        plot.update_yaxes(**log_axis(values))
    return plot


def add_line(
    plot: go.Figure, points: list[Point], name: str, colour: str, dash: str = "solid"
) -> None:
    """A line through the evaluations, with a marker each where they are few."""
    few = len(points) < 15
    points = picked(points, thinned([y for _, y in points], MAX_EPOCHS))
    plot.add_scatter(
        x=[x for x, _ in points],
        y=rounded([y for _, y in points]),
        name=name,
        mode="lines+markers" if few else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "size": 5},
        hovertemplate="%{y:.3g}",
    )


def finished(
    name: str,
    title: str,
    plot: go.Figure,
    best: float | None,
    *,
    caption: str = "",
    shape: str = "half",
) -> Figure:
    """The figure, with the best epoch marked."""
    if best is not None:
        xs = [x for trace in plot.data for x in trace.x]
        late = best > 0.6 * max(xs)
        plot.add_vline(
            x=best,
            line={"color": INK, "width": 1, "dash": "dash"},
            annotation={
                "text": f"kept: epoch {best:g}",
                "font": {"size": 11},
                "yanchor": "top",
                "xanchor": "right" if late else "left",
                "bgcolor": VEIL,
            },
        )
    return Figure(name, title, caption, plot, shape)
