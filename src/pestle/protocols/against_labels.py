"""Comparison of predictions with labels, for several protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.metrics import ALL, UNITS, FrameErrors, errors_by_group
from pestle.protocols.results import Column, Table
from pestle.structures.frame import Frame

#: Errors below these are rounding: a fraction of the RMS force or, without force labels, an energy
#: in meV/atom.
ROUNDING_FORCES, ROUNDING_ENERGY = 1e-3, 0.01


def forces_rms(frames: Sequence[Frame]) -> dict[str, float | None]:
    """Return the RMS of the labelled force components, for all frames and for each config_type.

    Args:
        frames: frames with labels.

    Returns:
        `all` or config_type → meV/Å; `None` without force labels.
    """
    # The RMS of forces is the error of a model that predicts zero.
    nothing = [FramePrediction(0.0, 0.0, np.zeros((len(frame), 3)), None) for frame in frames]
    groups = errors_by_group(frames, nothing)
    return {group: errors.forces_rmse for group, errors in groups.items()}


def labels_are_its_own(errors: FrameErrors, rms: float | None) -> bool:
    """Whether labels are a potential's own predictions, so that error ratios would be meaningless.

    Args:
        errors: errors of the potential.
        rms: RMS of the labelled force components, meV/Å.
    """
    if errors.forces_rmse is not None and rms:
        return errors.forces_rmse < ROUNDING_FORCES * rms
    return errors.energy_rmse is not None and errors.energy_rmse < ROUNDING_ENERGY


def error_table(title: str, by_model: Mapping[str, Mapping[str, FrameErrors]], note: str) -> Table:
    """Make a table of errors by group and potential, without quantities that have no errors.

    Args:
        title: title of the table.
        by_model: potential → group → errors.
        note: text below the table.
    """
    there = [
        key
        for key in UNITS
        if any(e.figures[key] is not None for found in by_model.values() for e in found.values())
    ]
    columns = [Column("group"), Column("model"), Column("frames", "", 8)]
    for key in there:
        quantity, kind = key.split("_")
        columns.append(Column(f"{quantity} {kind.upper()}", UNITS[key], 4))
    rows = [
        [group, name, errors.n_frames, *(errors.figures[key] for key in there)]
        for group in shown_groups(by_model)
        for name, groups in by_model.items()
        if (errors := groups.get(group)) is not None
    ]
    return Table(title, columns, rows, note)


def shown_groups(by_model: Mapping[str, Mapping[str, FrameErrors]]) -> list[str]:
    """Return the groups that get a row; only `all` if there is just one other group.

    Args:
        by_model: potential → group → errors.
    """
    groups = list(dict.fromkeys(group for errors in by_model.values() for group in errors))
    return groups if len(groups) > 2 else [ALL]
