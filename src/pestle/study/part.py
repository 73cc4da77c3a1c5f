"""A part of a study: its cells with given values of some axes (`--only AXIS=VALUE`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import yaml

from pestle.errors import PestleError, near_name, nearest
from pestle.records.study import PlannedCell, StudyPlan
from pestle.study.matrix import plain
from pestle.wording import setting_value


def part_of(whole: StudyPlan, only: Sequence[str]) -> StudyPlan:
    """Return the plan of some cells of a study; they are the same cells as in the whole.

    Args:
        whole: plan of the study.
        only: AXIS=VALUE each. Several values of one axis are alternatives; a cell must fit all
            axes that are named. Empty: all cells.

    Raises:
        PestleError: there is no such axis or value, or no cell fits them all.
    """
    if not only:
        return whole
    values = _values_of(whole.cells)
    wanted: dict[str, list[Any]] = {}
    for text in only:
        axis, equals, typed = (part.strip() for part in text.partition("="))
        if not equals:
            raise PestleError(
                f"'{text}' is not AXIS=VALUE",
                where="--only",
                fix=f"The axes are {', '.join(values) or 'none'}.",
            )
        if axis not in values:
            raise PestleError(
                "is no axis of the study", where=f"--only {axis}", fix=_other_axis(axis, values)
            )
        wanted.setdefault(axis, []).append(_value(axis, typed, values[axis]))
    cells = tuple(
        cell
        for cell in whole.cells
        if all(axis in cell.axes and cell.axes[axis] in few for axis, few in wanted.items())
    )
    if not cells:
        raise PestleError(
            "no cell of the study has all of these values",
            where=f"--only {' '.join(only)}",
            fix="`pestle study STUDY.yaml --dry-run` lists the cells.",
        )
    return whole.model_copy(update={"cells": cells})


def _values_of(cells: Sequence[PlannedCell]) -> dict[str, list[Any]]:
    """Return axis → its values, in their order; lists are values, too."""
    found: dict[str, list[Any]] = {}
    for cell in cells:
        for axis, value in cell.axes.items():
            values = found.setdefault(axis, [])
            if value not in values:
                values.append(value)
    return found


def _other_axis(axis: str, known: Collection[str]) -> str:
    """Return what to type instead; `seed` or `sead` may be meant to be `train.seed`."""
    if not known:
        return "It has no axes: leave --only out."
    last_parts = {name.rpartition(".")[2]: name for name in known}
    near = last_parts.get(axis) or near_name(axis, known)
    near = near or last_parts.get(near_name(axis, last_parts), "")
    hint = f"Did you mean '{near}'? " if near else ""
    return f"{hint}The axes are {', '.join(known)}."


def _value(axis: str, typed: str, known: Sequence[Any]) -> Any:
    """Return the value of an axis that was typed as in the study (`1e-4`, `true`) or as tables
    show it."""
    read: Any = typed
    with suppress(yaml.YAMLError):
        read = plain(yaml.safe_load(typed))
    shown = [setting_value(value) for value in known]
    for value, text in zip(known, shown, strict=True):
        if value == read or typed in (text, str(value)):
            return value
    raise PestleError(
        f"the axis has no value {typed}",
        where=f"--only {axis}",
        fix=f"{nearest(typed, shown)} It has {', '.join(shown)}.".lstrip(),
    )
