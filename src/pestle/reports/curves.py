"""Learning curves: errors of the target and the replay head, losses, learning rate by epoch."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go

from pestle.records.metrics import EvaluatedErrors, MetricsLine
from pestle.reports.error_tables import FORCES, QUANTITIES, Quantity
from pestle.reports.figures import (
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
from pestle.reports.figures import line as thinned
from pestle.reports.models import BASELINE_STYLE, CANDIDATE_STYLE, HEADS, REPLAY_HEAD, TARGET_HEAD
from pestle.reports.reading import Results
from pestle.wording import words

#: (epoch, value)
Point = tuple[float, float]

#: Evaluations that a line shows; of more, the peaks.
MAX_EPOCHS = 2000
#: A first value below this share of all others is rounding: the model still is the foundation.
EXACT_SHARE = 1e-2


def best_epoch(folder: Results) -> float | None:
    """The epoch whose weights were kept."""
    if folder.manifest is not None and folder.manifest.training is not None:
        return float(folder.manifest.training.best_epoch)
    marked = [record.epoch for record in folder.metrics if record.best]
    return float(marked[-1]) if marked else None


def best_record(folder: Results) -> MetricsLine | None:
    """The evaluation whose weights were kept; `None` if there is none."""
    epoch = best_epoch(folder)
    named = [record for record in folder.metrics if record.epoch == epoch]
    marked = [record for record in folder.metrics if record.best]
    found = named or marked
    return found[-1] if found else None


def chosen_by(folder: Results) -> str:
    """Whose metric chooses the model, in words."""
    head = folder.setting("train.best_head") == REPLAY_HEAD
    return "replay head" if head else watched_in_words(folder)


def watched(record: MetricsLine) -> EvaluatedErrors | None:
    """Figures of the target head at an evaluation: on validation frames, or in a run without them
    on frames that it is trained on."""
    return record.valid if record.valid is not None else record.train_frames


def watched_in_words(folder: Results) -> str:
    """What those frames are: `validation`, or `training frames`."""
    no_validation = any(record.train_frames is not None for record in folder.metrics)
    return "training frames" if no_validation else "validation"


def positive_points(folder: Results, value: Callable[[MetricsLine], float | None]) -> list[Point]:
    """The evaluations that have a value which a logarithmic axis can show."""
    pairs = [(record.epoch, value(record)) for record in folder.metrics]
    return [(x, y) for x, y in pairs if y is not None and y > 0]


def force_errors(folder: Results) -> list[Point]:
    """Force RMSE of the target head over the epochs (meV/Å)."""
    return _of_head(folder, watched, FORCES.rmse)


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


def learning_curves(folder: Results) -> list[Figure]:
    """One plot for each quantity that was recorded; the best epoch is marked in all."""
    best = best_epoch(folder)
    figures = []
    for quantity in QUANTITIES:
        plot = _two_heads(folder, quantity)
        if plot is not None:
            title = f"{quantity.word.capitalize()} RMSE, {watched_in_words(folder)}"
            figures.append(finished(f"curve-{quantity.name}-rmse", title, plot, best))
    losses = _losses(folder)
    if losses is not None:
        figures.append(finished("curve-loss", "Loss", losses, best))
    rates = positive_points(folder, lambda record: record.lr)
    if rates:
        values = [y for _, y in rates]
        plot = epochs_plot("learning rate", values if max(values) > 5 * min(values) else None)
        add_line(plot, rates, "learning rate", INK)
        if max(values) == min(values):
            plot.update_yaxes(range=[0, 1.5 * values[0]])
        figures.append(finished("curve-lr", "Learning rate", plot, best))
    probed = _rate_probe(folder)
    return [*figures, probed] if probed is not None else figures


def _rate_probe(folder: Results) -> Figure | None:
    """The rates that were tried before training: the worst loss at each over that of the start."""
    probe = folder.manifest.rate_probe if folder.manifest is not None else None
    if probe is None:
        return None
    points = []
    for trial in probe.trials:
        losses = [loss for loss in trial.losses if loss is not None]
        if losses and len(losses) == len(trial.losses):
            points.append((trial.rate, max(losses)))
    if not points:
        return None
    plot = empty_plot("learning rate", "loss over its start")
    plot.update_layout(showlegend=False)
    plot.update_xaxes(**log_axis([x for x, _ in points]))
    add_line(plot, sorted(points), "loss", INK)
    plot.add_hline(y=1.0, line={"color": INK, "width": 1, "dash": "dot"})
    caption = (
        f"The largest in up to {probe.updates} updates at each rate, from the starting model, "
        f"until it rises; taken was {probe.rate:g}. Rates at which the loss was no number are "
        "left out."
    )
    return Figure("rate-probe", "Learning rates tried", caption, plot, "half")


def replay_watched(folder: Results) -> bool:
    """Whether the replay head was evaluated."""
    return any(record.replay is not None for record in folder.metrics)


def _replay(record: MetricsLine) -> EvaluatedErrors | None:
    return record.replay


def _of_head(
    folder: Results,
    head: Callable[[MetricsLine], EvaluatedErrors | None],
    value: Callable[[EvaluatedErrors], float | None],
) -> list[Point]:
    """A figure of a head over the epochs."""

    def found(record: MetricsLine) -> float | None:
        errors = head(record)
        return None if errors is None else value(errors)

    return positive_points(folder, found)


def _two_heads(folder: Results, quantity: Quantity) -> go.Figure | None:
    """One error of the target head and, where there is one, of the replay head."""
    target = _of_head(folder, watched, quantity.rmse)
    replay = without_exact_start(_of_head(folder, _replay, quantity.rmse))
    if not target and not replay:
        return None
    axis = f"{quantity.word} RMSE ({quantity.unit})"
    plot = epochs_plot(axis, [y for _, y in (*target, *replay)])
    if target:
        name = HEADS[TARGET_HEAD] if replay else watched_in_words(folder)
        add_line(plot, target, name, CANDIDATE_STYLE.colour)
    if replay:
        add_line(plot, replay, HEADS[REPLAY_HEAD], REPLAY_COLOUR, dash="dash")
        plot.update_layout(showlegend=True)
    if target and target[0][0] == 0 and not folder.from_scratch:
        # The text above the plots says of which E0s; three entries fit a line only if short.
        name = "foundation" if replay else "foundation with the new E0s"
        _start(plot, target[0], name, BASELINE_STYLE.colour)
    return plot


def _losses(folder: Results) -> go.Figure | None:
    """Loss of the training and of each head's held-out structures."""
    train = positive_points(folder, lambda record: record.train.loss)
    target = _of_head(folder, watched, lambda errors: errors.loss)
    replay = without_exact_start(_of_head(folder, _replay, lambda errors: errors.loss))
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
    f"{q.name}_{kind}": (f"{q.word} {kind.upper()}", q.unit)
    for q in QUANTITIES
    for kind in ("rmse", "mae")
}


def metric_in_words(name: str) -> tuple[str, str]:
    """`forces_rmse` → ("force RMSE", "meV/Å"); the loss has no unit."""
    return _METRICS.get(name, (words(name), ""))
