"""Errors frame by frame: what violins show, where a mean over a set would hide the tail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.protocols.results import Chart, Series
from pestle.records.results import Numbers
from pestle.records.wording import counted
from pestle.structures.frame import Frame, evenly

#: Frames of a set that are kept; more do not change the shape of a violin.
MAX_FRAMES = 500


class Distribution(Numbers):
    """Errors of single frames, aligned; `None` where there is no label or no number.

    Attributes:
        group: config_type.
        forces: RMSE over the components, meV/Å.
        energy: signed error, meV/atom.
    """

    group: list[str]
    forces: list[float | None]
    energy: list[float | None]


@dataclass(frozen=True)
class Violin:
    """A chart of violins.

    Attributes:
        title: of the chart.
        axis: with the unit.
        values: what is drawn of a distribution.
    """

    title: str
    axis: str
    values: Callable[[Distribution], list[float | None]]


#: What is drawn of errors against labels.
ERRORS = (
    Violin("Force errors by frame", "force RMSE of a frame (meV/Å)", lambda found: found.forces),
    Violin(
        "Energy errors by frame", "energy error of a frame (meV/atom)", lambda found: found.energy
    ),
)


def distribution(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> Distribution:
    """Errors of single frames, isolated atoms left out.

    Args:
        frames: with labels.
        predictions: of them.

    Returns:
        At most `MAX_FRAMES`, evenly taken.
    """
    pairs = [(f, p) for f, p in zip(frames, predictions, strict=True) if not f.is_isolated_atom]
    found = Distribution(group=[], forces=[], energy=[])
    for frame, prediction in evenly(pairs, MAX_FRAMES):
        found.group.append(frame.config_type)
        forces = energy = None
        if frame.forces is not None:
            error = prediction.forces - frame.forces
            forces = _number(1e3 * np.sqrt(np.mean(error**2)))
        if frame.energy is not None:
            energy = _number(1e3 * (prediction.energy - frame.energy) / len(frame))
        found.forces.append(forces)
        found.energy.append(energy)
    return found


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def violins(
    sets: Mapping[str, Mapping[str, Distribution]], drawn: Sequence[Violin] = ERRORS
) -> list[Chart]:
    """Violins of force and energy errors, one at each category for every potential.

    Args:
        sets: set → potential → errors. Categories are the sets, or where there is one set
            its groups.
        drawn: one chart each.
    """
    by_group = len(sets) == 1
    charts = []
    for quantity in drawn:
        series: dict[str, Series] = {}
        dropped = 0
        for set_name, by_model in sets.items():
            for name, found in by_model.items():
                one = series.setdefault(name, Series(name, [], []))
                for group, value in zip(found.group, quantity.values(found), strict=True):
                    # A logarithmic axis has no place for an error of zero.
                    if value is None or value == 0.0:
                        dropped += value is not None
                        continue
                    one.x.append(group if by_group else set_name)
                    one.y.append(abs(value))
        there = [s for s in series.values() if s.y]
        if there:
            caption = ""
            if dropped:
                caption = f"Not drawn, because it has no error: {counted(dropped, 'frame')}."
            charts.append(
                Chart(
                    quantity.title,
                    "group" if by_group else "set",
                    quantity.axis,
                    there,
                    kind="violin",
                    log_y=True,
                    caption=caption,
                )
            )
    return charts
