"""Errors of single frames for violin plots, because a mean over a set hides large errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pestle.foundations.prediction import FramePrediction
from pestle.protocols.results import Chart, Series
from pestle.records.results import Numbers
from pestle.structures.frame import Frame, evenly
from pestle.wording import counted

#: Largest number of frames of a set; more do not change the shape of a violin.
MAX_FRAMES = 500


class Distribution(Numbers):
    """Errors of single frames, in the same order; `None` without a label or a finite number.

    Attributes:
        group: config_type.
        forces: RMSE over the force components, meV/Å.
        energy: signed error, meV/atom.
        forces_mae: MAE over the force components, meV/Å; empty in results of versions up to 0.2.0.
    """

    group: list[str]
    forces: list[float | None]
    energy: list[float | None]
    forces_mae: list[float | None] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Results of earlier versions are written as they were read."""
        content: dict[str, Any] = handler(self)
        if not self.forces_mae:
            del content["forces_mae"]
        return content


@dataclass(frozen=True)
class Violin:
    """A chart of violins.

    Attributes:
        title: title of the chart.
        axis: label of the axis, with unit.
        values: returns the values to draw from a distribution.
    """

    title: str
    axis: str
    values: Callable[[Distribution], list[float | None]]


#: Violins of errors against labels.
ERRORS = (
    Violin("Force errors by frame", "force RMSE of a frame (meV/Å)", lambda found: found.forces),
    Violin(
        "Energy errors by frame", "energy error of a frame (meV/atom)", lambda found: found.energy
    ),
)


def distribution(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> Distribution:
    """Calculate the errors of single frames, without isolated atoms.

    Args:
        frames: frames with labels.
        predictions: predictions of these frames.

    Returns:
        The errors of at most `MAX_FRAMES` evenly spaced frames.
    """
    pairs = [(f, p) for f, p in zip(frames, predictions, strict=True) if not f.is_isolated_atom]
    found = Distribution(group=[], forces=[], energy=[])
    for frame, prediction in evenly(pairs, MAX_FRAMES):
        found.group.append(frame.config_type)
        forces = mean = energy = None
        if frame.forces is not None:
            error = prediction.forces - frame.forces
            forces = _number(1e3 * np.sqrt(np.mean(error**2)))
            mean = _number(1e3 * np.mean(np.abs(error)))
        if frame.energy is not None:
            energy = _number(1e3 * (prediction.energy - frame.energy) / len(frame))
        found.forces.append(forces)
        found.forces_mae.append(mean)
        found.energy.append(energy)
    return found


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def violins(
    sets: Mapping[str, Mapping[str, Distribution]], drawn: Sequence[Violin] = ERRORS
) -> list[Chart]:
    """Make violin charts of force and energy errors, with one violin per category and potential.

    Args:
        sets: set → potential → errors. The categories are the sets, or the groups if there is one
            set.
        drawn: the charts to make.

    Returns:
        The charts that have any values.
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
                    # An error of zero cannot be drawn on a logarithmic axis.
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
