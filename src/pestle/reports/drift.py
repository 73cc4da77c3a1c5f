"""Drift: how far training moved the model from the foundation, and the cost of a budget for it."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from pestle.records.metrics import Drift, MetricsLine
from pestle.records.training import DriftBudget, KeptModel
from pestle.reports.curves import (
    Point,
    add_line,
    best_epoch,
    best_record,
    chosen_by,
    epochs_plot,
    finished,
    force_errors,
    metric_in_words,
    positive_points,
    watched_in_words,
    without_exact_start,
)
from pestle.reports.figures import BEYOND_COLOUR, BUDGET_COLOUR, INK, Figure, rounded, shown
from pestle.reports.models import HEAD_COLOURS, HEADS, TARGET_HEAD
from pestle.reports.reading import Results
from pestle.wording import MISSING, count, counted, number, plain

_DASHES = ("solid", "dash", "dashdot")


def drift_section(folder: Results) -> dict[str, Any] | None:
    """Return sentence, plot and table about drift; `None` if drift was not measured.

    Args:
        folder: results of the run.
    """
    announced = folder.manifest is not None and folder.manifest.drift is not None
    if not _heads(folder) and not announced:
        return None
    return {
        "sentence": budget_sentence(folder),
        "figure": _figure(folder),
        "rows": _rows(folder),
        "limited": budget(folder) is not None,
    }


def budget(folder: Results) -> float | None:
    """Return the budget for drift (meV/Å); `None` if there is none."""
    outcome = _outcome(folder)
    value = folder.setting("train.max_drift") if outcome is None else outcome.max_drift
    return float(value) if value else None


def _outcome(folder: Results) -> DriftBudget | None:
    """Return the cost of the budget; `None` without a budget, or before training has ended."""
    training = folder.manifest.training if folder.manifest is not None else None
    return None if training is None else training.drift_budget


def budget_sentence(folder: Results) -> str:
    """Return the cost of the budget for drift in words; empty if there is no budget."""
    outcome = _outcome(folder)
    if outcome is None:
        return ""
    metric, unit = metric_in_words(outcome.metric)
    metric = f"{chosen_by(folder)} {metric}"
    best, free = outcome.within, outcome.without
    allowed = f"the budget of {plain(outcome.max_drift)} meV/Å"
    # The epoch is negative if no model was found.
    if best.epoch < 0:
        return f"Within {allowed} no model was found."
    said = f"epoch {plain(best.epoch)} ({metric} {_value(best, unit)})"
    if free.epoch < 0:
        return f"Within {allowed} the best model is from {said}."
    if free.epoch == best.epoch:
        return f"The best model, from {said}, is within {allowed}: keeping it cost nothing."
    cost = f"without it from epoch {plain(free.epoch)} ({_value(free, unit)})."
    return f"Within {allowed} the best model is from {said}; {cost}"


def best_drift(folder: Results) -> tuple[str, str, str] | None:
    """Return the force drift of the kept model as value, unit and note; `None` if unknown."""
    value = kept_drift(folder)
    if value is None:
        return None
    limit = budget(folder)
    note = "from the foundation’s own forces"
    if limit is not None:
        note += f" · budget {plain(limit)} meV/Å"
    return number(value), "meV/Å", note


def kept_drift(folder: Results) -> float | None:
    """Return the force drift of the kept model (meV/Å), after interpolation if there was any."""
    if folder.manifest is not None and folder.manifest.interpolation is not None:
        return folder.manifest.interpolation.drift
    kept = best_record(folder)
    return None if kept is None else _of(kept, TARGET_HEAD).forces_rmse


def _value(model: KeptModel, unit: str) -> str:
    return f"{number(model.value)} {unit}".strip()


def _heads(folder: Results) -> list[str]:
    """Return the heads whose drift was measured, the target head first."""
    found = dict.fromkeys(head for record in folder.metrics for head in record.drift or {})
    return sorted(found, key=lambda head: head != TARGET_HEAD)


def _of(record: MetricsLine, head: str) -> Drift:
    return (record.drift or {}).get(head, Drift())


def _forces(folder: Results, head: str) -> list[Point]:
    """Return epoch and force drift (meV/Å) of a head for each evaluation."""
    return positive_points(folder, lambda record: _of(record, head).forces_rmse)


def _called(folder: Results, head: str) -> str:
    """Return the name of a head in words; `model` if there is only one head."""
    return HEADS.get(head, head) if len(_heads(folder)) > 1 else "model"


def _figure(folder: Results) -> Figure | None:
    """Return the plot of force drift of every head beside the force error of the target head."""
    moved = {head: points for head in _heads(folder) if (points := _forces(folder, head))}
    drifts = {head: without_exact_start(points) for head, points in moved.items()}
    if not drifts:
        return None
    errors = force_errors(folder)
    limit = budget(folder)
    values = [y for points in (*drifts.values(), errors) for _, y in points]
    plot = epochs_plot("RMS of forces (meV/Å)", [*values, limit] if limit else values)
    plot.update_layout(showlegend=True)
    if errors:
        add_line(
            plot, errors, f"force error of the target, {watched_in_words(folder)}", INK, dash="dot"
        )
    for k, (head, points) in enumerate(drifts.items()):
        colour = HEAD_COLOURS.get(head, INK)
        name = shown(f"drift of the {_called(folder, head)}")
        add_line(plot, points, name, colour, dash=_DASHES[k % len(_DASHES)])
    beyond: list[Point] = []
    if limit:
        target = drifts.get(TARGET_HEAD, [])
        beyond = [(x, y) for x, y in target if y > limit]
        _draw_budget(plot, limit, beyond, [*values, limit])
    announced = folder.manifest.drift if folder.manifest is not None else None
    on = f"{count(announced.n_frames)} " if announced is not None else ""
    caption = (
        "Drift: root mean square difference between the forces of the averaged model and of the "
        f"foundation, on {on}broad structures."
    )
    if drifts != moved:
        caption += " At epoch 0 it is zero, so that a logarithmic axis cannot show it."
    if limit:
        total = sum(_of(r, TARGET_HEAD).forces_rmse is not None for r in folder.metrics)
        caption += (
            f" Beyond the budget: {len(beyond)} of {counted(total, 'evaluation')}. The budget "
            f"holds only for the drift of the {_called(folder, TARGET_HEAD)}."
        )
    title = "Drift and error of forces"
    return finished("drift-forces", title, plot, best_epoch(folder), caption=caption, shape="wide")


def _draw_budget(plot: go.Figure, limit: float, beyond: list[Point], values: list[float]) -> None:
    """Draw the budget as a line, tint the region beyond it, and cross out the epochs in it."""
    xs = [x for trace in plot.data for x in trace.x]
    low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.15
    plot.update_yaxes(range=[low, high])
    plot.add_scatter(
        x=[min(xs), max(xs)],
        y=[limit, limit],
        name=f"budget {plain(limit)} meV/Å",
        mode="lines",
        line={"color": BUDGET_COLOUR, "width": 1.5, "dash": "longdash"},
        hoverinfo="skip",
    )
    plot.add_hrect(y0=limit, y1=10**high, fillcolor=BEYOND_COLOUR, line={"width": 0}, layer="below")
    if beyond:
        plot.add_scatter(
            x=[x for x, _ in beyond],
            y=rounded([y for _, y in beyond]),
            name="beyond the budget, not kept",
            mode="markers",
            marker={
                "color": BUDGET_COLOUR,
                "size": 9,
                "symbol": "x-thin",
                "line": {"color": BUDGET_COLOUR, "width": 2},
            },
            hoverinfo="skip",
        )


def _rows(folder: Results) -> list[dict[str, str]]:
    """Return the drift of each head in the kept model and at the last evaluation."""
    limit = budget(folder)
    best, last = best_record(folder), folder.metrics[-1] if folder.metrics else None
    records = [(best, "kept")] if best is not None else []
    if last is not None and last is not best:
        records.append((last, "last"))
    rows = []
    for head in _heads(folder):
        for record, kind in records:
            drift = _of(record, head)
            # The budget holds for the target head alone.
            judged = MISSING
            if limit is not None and head == TARGET_HEAD and drift.forces_rmse is not None:
                judged = "within" if drift.forces_rmse <= limit else "beyond"
            rows.append(
                {
                    "head": _called(folder, head),
                    "epoch": f"{plain(record.epoch)}, {kind}",
                    "forces": number(drift.forces_rmse),
                    "energy": number(drift.energy_rmse),
                    "budget": judged,
                }
            )
    return rows
