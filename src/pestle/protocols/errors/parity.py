"""Parity plots: predictions against labels, with fewer points but all large outliers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.metrics import ALL, FrameErrors
from pestle.protocols.errors.numbers import ParityPoints
from pestle.protocols.errors.offset import offset_by_element
from pestle.protocols.results import Chart, Series
from pestle.structures.frame import Frame, evenly
from pestle.wording import figure

#: Points that a plot keeps for a potential; more points could not be distinguished.
MAX_PARITY_POINTS = 1500
#: Share of these points that have the largest errors, so that outliers remain visible.
WORST_SHARE = 0.1


@dataclass(frozen=True)
class _Plot:
    """The content of a parity plot: labels, predictions, and their RMSE with its unit."""

    title: str
    axis: str
    labels: Callable[[ParityPoints], list[float]]
    predictions: Callable[[ParityPoints], list[float]]
    rmse: Callable[[FrameErrors], float | None]
    unit: str


_PLOTS = (
    _Plot(
        "Energies",
        "energy without E0s (eV/atom)",
        lambda points: points.energy_ref,
        lambda points: points.energy_pred,
        lambda errors: errors.energy_rmse,
        "meV/atom",
    ),
    _Plot(
        "Force components",
        "force component (eV/Å)",
        lambda points: points.forces_ref,
        lambda points: points.forces_pred,
        lambda errors: errors.forces_rmse,
        "meV/Å",
    ),
)


def parity_points(
    frames: Sequence[Frame],
    predictions: Sequence[FramePrediction],
    levels: Sequence[float] | None = None,
) -> ParityPoints:
    """Return labels and predictions of interaction energies and force components.

    E0s are subtracted from both energies, because total energies of different compositions would
    hide every error. Isolated atoms and values that are not finite are left out.

    Args:
        frames: frames with labels.
        predictions: one for each frame.
        levels: sum of the E0s of each frame, eV. Plots that show several potentials need the same
            ones for all: a frame has one label. By default the prediction's own.

    Returns:
        At most `MAX_PARITY_POINTS` energies (eV/atom) and as many force components (eV/Å).
    """
    energies, groups = [np.zeros((0, 2))], []
    offset = offset_by_element(frames, predictions)
    offsets: list[float] = []
    components = [np.zeros((0, 2))]
    levels = e0_sums(predictions) if levels is None else levels
    for frame, prediction, level in zip(frames, predictions, levels, strict=True):
        if frame.is_isolated_atom:
            continue
        if frame.energy is not None:
            pair = np.array([[frame.energy - level, prediction.energy - level]])
            energies.append(pair / len(frame))
            groups.append(frame.config_type)
            # The offset is what must be added to the prediction.
            shift = -sum(offset.get(int(z), 0.0) for z in frame.numbers)
            offsets.append(shift / len(frame))
        if frame.forces is not None:
            pair = np.stack([np.ravel(frame.forces), np.ravel(prediction.forces)], axis=1)
            components.append(pair)
    energy, forces = np.concatenate(energies), np.concatenate(components)
    kept, rest = _kept(energy), _kept(forces)
    return ParityPoints(
        energy_ref=_numbers(energy[kept, 0]),
        energy_pred=_numbers(energy[kept, 1]),
        energy_group=[groups[k] for k in kept],
        energy_offset=tuple(_numbers(np.array(offsets)[kept]))
        if len(groups) > 2 * len(offset)
        else (),
        forces_ref=_numbers(forces[rest, 0]),
        forces_pred=_numbers(forces[rest, 1]),
    )


def e0_sums(predictions: Sequence[FramePrediction]) -> list[float]:
    """Sum of the E0s of each frame, eV; not finite where the prediction is not."""
    return [p.energy - p.interaction_energy for p in predictions]


def _kept(points: np.ndarray) -> list[int]:
    """Return the sorted indices of the finite points that are kept.

    Args:
        points: [n, 2] label and prediction.
    """
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
    points: Mapping[str, ParityPoints],
    errors: Mapping[str, Mapping[str, FrameErrors]],
    labels: Mapping[str, str],
) -> list[Chart]:
    """Draw energies and force components of a set, each only if there are any.

    A foundation of another level of theory is off by a constant for each element. Where that is
    most of a potential's error it is taken off its predictions, since it would press all other
    points together or lie beyond them, and said. Labels stay where they are.

    Args:
        title: title of the set.
        points: potential → its points.
        errors: potential → group → errors.
        labels: potential → its name in the chart.
    """
    charts = []
    off = {name: found for name, found in points.items() if _mostly_offset(found)}
    points = {**points, **{name: _without_offset(found) for name, found in off.items()}}
    for plot in _PLOTS:
        series = [
            Series(name, list(plot.labels(found)), list(plot.predictions(found)))
            for name, found in points.items()
            if plot.labels(found)
        ]
        if not series:
            continue
        rmse = {s.name: plot.rmse(errors[s.name][ALL]) for s in series}
        said = [f"{labels.get(n, n)} {figure(v)}" for n, v in rmse.items() if v is not None]
        caption = f"RMSE: {'; '.join(said)} {plot.unit}." if said else ""
        if off and plot is _PLOTS[0]:
            said = [f"{labels.get(n, n)} {_offset_in_words(found)}" for n, found in off.items()]
            caption += (
                " Taken off the predictions: the constant for each element by which they are off, "
                f"{'; '.join(said)}. It is a difference of the levels of theory or of the E0s; the "
                "RMSE holds it."
            )
        charts.append(
            Chart(
                f"{plot.title}, {title}",
                f"reference {plot.axis}",
                f"predicted {plot.axis}",
                series,
                kind="points",
                caption=caption,
                diagonal=True,
            )
        )
    return charts


def _mostly_offset(points: ParityPoints) -> bool:
    """Whether less than half of the energy RMSE remains after the offset is subtracted."""
    if not points.energy_offset:
        return False
    error = np.subtract(points.energy_pred, points.energy_ref)
    left = error - np.array(points.energy_offset)
    return float(np.mean(left**2)) < 0.25 * float(np.mean(error**2))


def _without_offset(points: ParityPoints) -> ParityPoints:
    level = np.subtract(points.energy_pred, points.energy_offset)
    return points.model_copy(update={"energy_pred": _numbers(level)})


def _offset_in_words(points: ParityPoints) -> str:
    """`−250 to 13 meV/atom`: what the predictions of these frames are off by."""
    low, high = (
        figure(1e3 * end) for end in (min(points.energy_offset), max(points.energy_offset))
    )
    return f"{low if low == high else f'{low} to {high}'} meV/atom"
