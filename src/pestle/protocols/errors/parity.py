"""Parity plots: predictions against labels, thinned without losing the outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.protocols.results import Chart, Series
from pestle.records.wording import figure
from pestle.structures.frame import Frame, evenly

#: Points of a plot that are kept for a potential; more cannot be told apart.
MAX_PARITY_POINTS = 1500
#: Share of them that goes to the largest errors: outliers must not be thinned away.
WORST_SHARE = 0.1

#: Quantity → (title, what an axis shows, unit of its RMSE).
_SHOWN = {
    "energy": ("Energies", "energy without E0s (eV/atom)", "meV/atom"),
    "forces": ("Force components", "force component (eV/Å)", "meV/Å"),
}


def parity_points(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, list[Any]]:
    """Label and prediction of interaction energies (eV/atom) and force components (eV/Å).

    The prediction's E0s are taken off both energies: totals of different compositions would hide
    every error. Isolated atoms and what is not finite are left out.

    Returns:
        `energy_ref`, `energy_pred`, `energy_group` (config_type), `forces_ref`, `forces_pred`; at
        most `MAX_PARITY_POINTS` each.
    """
    energies, groups = [np.zeros((0, 2))], []
    components = [np.zeros((0, 2))]
    for frame, prediction in zip(frames, predictions, strict=True):
        if frame.is_isolated_atom:
            continue
        if frame.energy is not None:
            e0s = prediction.energy - prediction.interaction_energy
            pair = np.array([[frame.energy - e0s, prediction.interaction_energy]])
            energies.append(pair / len(frame))
            groups.append(frame.config_type)
        if frame.forces is not None:
            pair = np.stack([np.ravel(frame.forces), np.ravel(prediction.forces)], axis=1)
            components.append(pair)
    energy, forces = np.concatenate(energies), np.concatenate(components)
    kept, rest = _kept(energy), _kept(forces)
    return {
        "energy_ref": _numbers(energy[kept, 0]),
        "energy_pred": _numbers(energy[kept, 1]),
        "energy_group": [groups[k] for k in kept],
        "forces_ref": _numbers(forces[rest, 0]),
        "forces_pred": _numbers(forces[rest, 1]),
    }


def _kept(points: np.ndarray) -> list[int]:
    """Indices of the finite points that are kept, in order; [n, 2] label and prediction."""
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(finite) <= MAX_PARITY_POINTS:
        return [int(k) for k in finite]
    error = np.abs(points[finite, 1] - points[finite, 0])
    order = finite[np.argsort(-error, kind="stable")]
    worst = round(WORST_SHARE * MAX_PARITY_POINTS)
    rest = np.sort(order[worst:]).tolist()
    return sorted([*order[:worst].tolist(), *evenly(rest, MAX_PARITY_POINTS - worst)])


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def parity_charts(
    title: str,
    points: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, Mapping[str, Mapping[str, Any]]],
    labels: Mapping[str, str],
) -> list[Chart]:
    """Energies and force components of a set, each where there is any.

    Args:
        title: of the set.
        points: potential → `parity_points`.
        errors: potential → group → `metrics.frame_errors`.
        labels: potential → what a reader is told.
    """
    charts = []
    for quantity, (what, axis, unit) in _SHOWN.items():
        series = [
            Series(name, list(found[f"{quantity}_ref"]), list(found[f"{quantity}_pred"]))
            for name, found in points.items()
            if found[f"{quantity}_ref"]
        ]
        if not series:
            continue
        rmse = {s.name: errors[s.name]["all"].get(f"{quantity}_rmse") for s in series}
        said = [f"{labels.get(n, n)} {figure(v)}" for n, v in rmse.items() if v is not None]
        caption = f"RMSE: {'; '.join(said)} {unit}." if said else ""
        charts.append(
            Chart(
                f"{what}, {title}",
                f"reference {axis}",
                f"predicted {axis}",
                series,
                kind="points",
                caption=caption,
                diagonal=True,
            )
        )
    return charts
