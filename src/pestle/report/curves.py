"""Learning curves: errors of the target and the replay head, losses, learning rate by epoch."""

from __future__ import annotations

import plotly.graph_objects as go

from pestle.report.colours import INK, REPLAY_COLOUR, TRAIN_COLOUR
from pestle.report.epochs import (
    Point,
    add_line,
    best_epoch,
    epochs_plot,
    finished,
    nothing_trained,
    positive_points,
    watched,
    watched_in_words,
    without_exact_start,
)
from pestle.report.figures import Figure, empty_plot, log_axis, rounded
from pestle.report.models import BASELINE_STYLE, CANDIDATE_STYLE, HEADS, REPLAY_HEAD, TARGET_HEAD
from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import is_number

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
