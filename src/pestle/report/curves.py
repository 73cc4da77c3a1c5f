"""Learning curves: errors of the target and the replay head, losses, learning rate by epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from pestle.records.wording import is_number, words
from pestle.report.figures import (
    INK,
    REPLAY_COLOUR,
    TRAIN_COLOUR,
    VEIL,
    Figure,
    empty_plot,
    log_axis,
    picked,
    rounded,
)
from pestle.report.figures import line as thinned
from pestle.report.models import BASELINE_STYLE, CANDIDATE_STYLE, HEADS, REPLAY_HEAD, TARGET_HEAD
from pestle.report.run_folder import RunFolder, nested

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
    return folder.part("method").get("name") != "scratch"


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


#: Field of `valid` and `replay` → title, axis.
_ERRORS = {
    "energy_rmse": ("Energy RMSE", "energy RMSE (meV/atom)"),
    "forces_rmse": ("Force RMSE", "force RMSE (meV/Å)"),
    "stress_rmse": ("Stress RMSE", "stress RMSE (meV/Å³)"),
}


def learning_curves(folder: RunFolder) -> list[Figure]:
    """One plot for each quantity that was recorded; the best epoch is marked in all."""
    best = best_epoch(folder)
    figures = []
    for key, (title, axis) in _ERRORS.items():
        plot = _two_heads(folder, key, axis)
        if plot is not None:
            title = f"{title}, {watched_in_words(folder)}"
            figures.append(finished(f"curve-{key.replace('_', '-')}", title, plot, best))
    losses = _losses(folder)
    if losses is not None:
        figures.append(finished("curve-loss", "Loss", losses, best))
    rates = positive_points(folder.metrics, lambda r: r.get("lr"))
    if rates:
        values = [y for _, y in rates]
        plot = epochs_plot("learning rate", values if max(values) > 5 * min(values) else None)
        add_line(plot, rates, "learning rate", INK)
        if max(values) == min(values):
            plot.update_yaxes(range=[0, 1.5 * values[0]])
        figures.append(finished("curve-lr", "Learning rate", plot, best))
    probed = _rate_probe(folder)
    return [*figures, probed] if probed is not None else figures


def _rate_probe(folder: RunFolder) -> Figure | None:
    """The rates that were tried before training: the worst loss at each over that of the start."""
    probe = folder.part("rate_probe")
    points = [
        (trial["rate"], max(trial["losses"]))
        for trial in probe.get("trials") or []
        if trial["losses"] and all(is_number(value) for value in trial["losses"])
    ]
    if not points:
        return None
    plot = empty_plot("learning rate", "loss over its start")
    plot.update_layout(showlegend=False)
    plot.update_xaxes(**log_axis([x for x, _ in points]))
    add_line(plot, sorted(points), "loss", INK)
    plot.add_hline(y=1.0, line={"color": INK, "width": 1, "dash": "dot"})
    caption = (
        f"The largest in up to {probe['updates']} updates at each rate, from the starting model, "
        f"until it rises; taken was {probe['rate']:g}. Rates at which the loss was no number are "
        "left out."
    )
    return Figure("rate-probe", "Learning rates tried", caption, plot, "half")


def replay_watched(folder: RunFolder) -> bool:
    """Whether the replay head was evaluated."""
    return any(nested(record, "replay") for record in folder.metrics)


def _of_head(folder: RunFolder, part: str, key: str) -> list[Point]:
    """A field of the target's (`valid`) or `replay`'s figures over the epochs."""
    find = watched if part == "valid" else lambda r: nested(r, part)
    return positive_points(folder.metrics, lambda r: find(r).get(key))


def _two_heads(folder: RunFolder, key: str, axis: str) -> go.Figure | None:
    """One error of the target head and, where there is one, of the replay head."""
    target = _of_head(folder, "valid", key)
    replay = without_exact_start(_of_head(folder, "replay", key))
    if not target and not replay:
        return None
    plot = epochs_plot(axis, [y for _, y in (*target, *replay)])
    if target:
        name = HEADS[TARGET_HEAD] if replay else watched_in_words(folder)
        add_line(plot, target, name, CANDIDATE_STYLE.colour)
    if replay:
        add_line(plot, replay, HEADS[REPLAY_HEAD], REPLAY_COLOUR, dash="dash")
        plot.update_layout(showlegend=True)
    if target and target[0][0] == 0 and nothing_trained(folder):
        # The text above the plots says of which E0s; three entries fit a line only if short.
        name = "foundation" if replay else "foundation with the new E0s"
        _start(plot, target[0], name, BASELINE_STYLE.colour)
    return plot


def _losses(folder: RunFolder) -> go.Figure | None:
    """Loss of the training and of each head's held-out structures."""
    train = positive_points(folder.metrics, lambda r: nested(r, "train").get("loss"))
    target = _of_head(folder, "valid", "loss")
    replay = without_exact_start(_of_head(folder, "replay", "loss"))
    if not train and not target and not replay:
        return None
    plot = epochs_plot("loss", [y for _, y in (*train, *target, *replay)])
    if train:
        add_line(plot, train, "training", TRAIN_COLOUR, dash="dot")
    if target:
        name = HEADS[TARGET_HEAD] if replay else watched_in_words(folder)
        add_line(plot, target, name, CANDIDATE_STYLE.colour)
    if replay:
        add_line(plot, replay, HEADS[REPLAY_HEAD], REPLAY_COLOUR, dash="dash")
    plot.update_layout(showlegend=True)
    return plot


def _start(plot: go.Figure, point: Point, name: str, colour: str) -> None:
    """Epoch 0 in the foundation's colour."""
    plot.add_scatter(
        x=[point[0]],
        y=rounded([point[1]]),
        name=name,
        mode="markers",
        marker={"color": colour, "size": 9, "symbol": "circle"},
        hovertemplate="%{y:.3g}",
        cliponaxis=False,
    )
    plot.update_layout(showlegend=True)


#: Metric that chooses the model → words and unit.
_METRICS = {
    "energy_rmse": ("energy RMSE", "meV/atom"),
    "energy_mae": ("energy MAE", "meV/atom"),
    "forces_rmse": ("force RMSE", "meV/Å"),
    "forces_mae": ("force MAE", "meV/Å"),
    "stress_rmse": ("stress RMSE", "meV/Å³"),
}


def metric_in_words(name: Any) -> tuple[str, str]:
    """`forces_rmse` → ("force RMSE", "meV/Å"); the loss has no unit."""
    return _METRICS.get(str(name), (words(str(name)), ""))
