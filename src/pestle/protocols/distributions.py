"""Errors frame by frame: what violins show, where a mean over a set would hide the tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.protocols.results import Chart, Series
from pestle.records.wording import counted
from pestle.structures.frame import Frame, evenly

#: Frames of a set that are kept; more do not change the shape of a violin.
MAX_FRAMES = 500
#: Quantity of a distribution → (title, axis).
QUANTITIES = {
    "forces": ("Force errors by frame", "force RMSE of a frame (meV/Å)"),
    "energy": ("Energy errors by frame", "energy error of a frame (meV/atom)"),
}


def distribution(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, list[Any]]:
    """Errors of single frames, isolated atoms left out.

    Args:
        frames: with labels.
        predictions: of them.

    Returns:
        `group` (config_type), `forces` (RMSE over the components, meV/Å) and `energy` (signed
        error, meV/atom), aligned; at most `MAX_FRAMES` each, evenly taken; `None` where there is no
        label or no number.
    """
    pairs = [(f, p) for f, p in zip(frames, predictions, strict=True) if not f.is_isolated_atom]
    found: dict[str, list[Any]] = {"group": [], "forces": [], "energy": []}
    for frame, prediction in evenly(pairs, MAX_FRAMES):
        found["group"].append(frame.config_type)
        forces = energy = None
        if frame.forces is not None:
            error = prediction.forces - frame.forces
            forces = _number(1e3 * np.sqrt(np.mean(error**2)))
        if frame.energy is not None:
            energy = _number(1e3 * (prediction.energy - frame.energy) / len(frame))
        found["forces"].append(forces)
        found["energy"].append(energy)
    return found


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def violins(
    sets: Mapping[str, Mapping[str, Mapping[str, list[Any]]]],
    words: Mapping[str, tuple[str, str]] = QUANTITIES,
) -> list[Chart]:
    """Violins of force and energy errors, one at each category for every potential.

    Args:
        sets: set → potential → `distribution`. Categories are the sets, or where there is one set
            its groups.
        words: quantity → (title, axis).
    """
    by_group = len(sets) == 1
    charts = []
    for quantity, (title, axis) in words.items():
        series: dict[str, Series] = {}
        dropped = 0
        for set_name, by_model in sets.items():
            for name, found in by_model.items():
                one = series.setdefault(name, Series(name, [], []))
                for group, value in zip(found["group"], found[quantity], strict=True):
                    # A logarithmic axis has no place for an error of zero.
                    if value is None or value == 0.0:
                        dropped += value is not None
                        continue
                    one.x.append(group if by_group else set_name)
                    one.y.append(abs(value))
        drawn = [s for s in series.values() if s.y]
        if drawn:
            caption = ""
            if dropped:
                caption = f"Not drawn, because it has no error: {counted(dropped, 'frame')}."
            charts.append(
                Chart(
                    title,
                    "group" if by_group else "set",
                    axis,
                    drawn,
                    kind="violin",
                    log_y=True,
                    caption=caption,
                )
            )
    return charts
