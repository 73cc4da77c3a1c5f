"""Learning curves: errors of target and replay head, losses and learning rate over the epochs."""

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
from pestle.wording import counted, words

#: (epoch, value)
Point = tuple[float, float]

#: Largest number of evaluations of a line; of more, lowest and highest values are shown.
MAX_EPOCHS = 2000
#: A value at epoch 0 below this fraction of all later ones is a rounding error.
EXACT_SHARE = 1e-2


def best_epoch(folder: Results) -> float | None:
    """Return the epoch of the kept model; `None` if there is none."""
    if folder.manifest is not None and folder.manifest.training is not None:
        return float(folder.manifest.training.best_epoch)
    marked = [record.epoch for record in folder.metrics if record.best]
    return float(marked[-1]) if marked else None


def best_record(folder: Results) -> MetricsLine | None:
    """Return the evaluation of the kept model; `None` if there is none."""
    epoch = best_epoch(folder)
    named = [record for record in folder.metrics if record.epoch == epoch]
    marked = [record for record in folder.metrics if record.best]
    found = named or marked
    return found[-1] if found else None


def chosen_by(folder: Results) -> str:
    """Return in words on which head or frames the metric is calculated that chooses the model."""
    head = folder.setting("train.best_head") == REPLAY_HEAD
    return "replay head" if head else watched_in_words(folder)


def watched(record: MetricsLine) -> EvaluatedErrors | None:
    """Return the errors of the target head at an evaluation.

    They are errors on the validation frames or, in a run without these, on training frames.
    """
    return record.valid if record.valid is not None else record.train_frames


def watched_in_words(folder: Results) -> str:
    """Return the name of the frames of `watched`: `validation`, or `training frames`."""
    no_validation = any(record.train_frames is not None for record in folder.metrics)
    return "training frames" if no_validation else "validation"


def positive_points(folder: Results, value: Callable[[MetricsLine], float | None]) -> list[Point]:
    """Return the evaluations with a positive value, which a logarithmic axis can show.

    Args:
        folder: results of the run.
        value: function that returns the value of an evaluation.

    Returns:
        Epoch and value of each.
    """
    pairs = [(record.epoch, value(record)) for record in folder.metrics]
    return [(x, y) for x, y in pairs if y is not None and y > 0]


def force_errors(folder: Results) -> list[Point]:
    """Return epoch and force RMSE of the target head (meV/Å) for each evaluation."""
    return _of_head(folder, watched, FORCES.rmse)


def without_exact_start(points: list[Point]) -> list[Point]:
    """Return the points without epoch 0 if its value is a rounding error.

    At epoch 0 a replay head equals the foundation. Its rounding error would stretch a logarithmic
    axis over many empty decades.

    Args:
        points: epoch and value of each evaluation.
    """
    later = [y for x, y in points if x > 0]
    exact = later and points[0][0] == 0 and points[0][1] < EXACT_SHARE * min(later)
    return points[1:] if exact else points


def epochs_plot(axis: str, values: list[float] | None = None) -> go.Figure:
    """Return empty axes over the epochs.

    Args:
        axis: title of the y axis.
        values: positive values of the plot, for a logarithmic axis; `None` for a linear axis.
    """
    plot = empty_plot("epoch", axis)
    plot.update_layout(showlegend=False, hovermode="x")
    if values:
        plot.update_yaxes(**log_axis(values))
    return plot


def add_line(
    plot: go.Figure, points: list[Point], name: str, colour: str, dash: str = "solid"
) -> None:
    """Add a line through the evaluations; few evaluations get a marker each.

    Args:
        plot: the plot, which is changed.
        points: epoch and value of each evaluation.
        name: name in the legend.
        colour: colour of the line.
        dash: dashes of the line.
    """
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
    """Return the figure of a plot over the epochs, with the kept epoch marked.

    Args:
        name, title, caption, shape: as in `Figure`.
        plot: the plot, which is changed.
        best: the kept epoch; `None` if there is none.
    """
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
    """Return the plots of errors, loss and learning rate; the kept epoch is marked in each.

    Args:
        folder: results of the run.
    """
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
    """Return the plot of the learning rates that were tried: largest loss, divided by its start."""
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
        f"Largest loss in up to {counted(probe.updates, 'update')} at each rate, from the starting "
        f"model, until it rises. The rate that was taken is {probe.rate:g}. Rates at which the "
        "loss was not finite are left out."
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
    """Return epoch and value of a head for each evaluation."""

    def found(record: MetricsLine) -> float | None:
        errors = head(record)
        return None if errors is None else value(errors)

    return positive_points(folder, found)


def _two_heads(folder: Results, quantity: Quantity) -> go.Figure | None:
    """Return the plot of one error of the target head and, with replay, of the replay head."""
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
        # Three entries of a legend fit in one line only if they are short.
        name = "foundation" if replay else "foundation with the new E0s"
        _start(plot, target[0], name, BASELINE_STYLE.colour)
    return plot


def _losses(folder: Results) -> go.Figure | None:
    """Return the plot of the training loss, and of the loss on held-out structures of each head."""
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
    """Mark epoch 0 in the colour of the foundation."""
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


#: Metric → its name in words, and its unit.
_METRICS = {
    f"{q.name}_{kind}": (f"{q.word} {kind.upper()}", q.unit)
    for q in QUANTITIES
    for kind in ("rmse", "mae")
}


def metric_in_words(name: str) -> tuple[str, str]:
    """Return the name and the unit of a metric: `forces_rmse` → ("force RMSE", "meV/Å").

    Args:
        name: name of the metric in records; the loss has no unit.
    """
    return _METRICS.get(name, (words(name), ""))
