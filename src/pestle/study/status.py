"""Where a study stands, from its plan and the records of its cells."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pestle.files import Damaged
from pestle.locks import FOLDER_LOCK, is_held, lock_of_file
from pestle.records.study import CellRecord, PlannedCell, StudyPlan
from pestle.study.changed import changes_of, is_changed
from pestle.study.part import part_of
from pestle.study.worker import Places

#: Trained: its tests, or further ones, are still to come, and none was begun that did not end.
#: Changed: its run was gone on with by hand, with other settings.
State = Literal["finished", "running", "trained", "interrupted", "failed", "changed", "waiting"]
#: In the order in which they are shown.
STATES: tuple[State, ...] = get_args(State)
#: Of cells that something is left to do of, unless they fail.
OPEN: tuple[State, ...] = ("running", "trained", "interrupted", "waiting")


@dataclass(frozen=True)
class CellState:
    """A cell and how far it is.

    Attributes:
        cell: as planned.
        state: of the cell as a whole.
        step: the step that runs, was interrupted, failed or is to come; empty for none.
        seconds: spent on it so far (s).
        last_lines: of the command that failed.
    """

    cell: PlannedCell
    state: State
    step: str = ""
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyState:
    """Where a study stands.

    Attributes:
        folder: of the study.
        cells: all of them.
        seconds_left: guess from the cells that are finished, for as many at a time as run now (one
            where none does); `None` where nothing is finished yet.
        lost: cell → why its worker was lost, of the command that has just ended.
        total: cells of the whole study, of which `cells` may be a part.
    """

    folder: Path
    cells: tuple[CellState, ...] = field(default_factory=tuple)
    seconds_left: float | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    total: int = 0

    @property
    def counts(self) -> dict[State, int]:
        """State → cells."""
        found = Counter(cell.state for cell in self.cells)
        return {state: found[state] for state in STATES}

    def of(self, *states: State) -> list[CellState]:
        """Cells in some states."""
        return [cell for cell in self.cells if cell.state in states]

    def to_json(self, *, every: bool = False) -> dict[str, Any]:
        """The same as plain data.

        Args:
            every: list every cell, too.
        """
        listed = {
            "all": [
                {"name": one.cell.name, "state": one.state, "axes": one.cell.axes}
                for one in self.cells
            ]
        }
        return {
            "folder": str(self.folder),
            "cells": len(self.cells),
            "cells_of_study": self.total,
            **{str(name): count for name, count in self.counts.items()},
            "seconds_left": self.seconds_left,
            "failures": [
                {
                    "name": cell.cell.name,
                    "step": cell.step,
                    "last_lines": list(cell.last_lines),
                    "log": str(Places(self.folder, cell.cell.name).log),
                }
                for cell in self.of("failed")
            ],
            "changes": {
                cell.cell.name: changes_of(Places(self.folder, cell.cell.name).run)
                for cell in self.of("changed")
            },
            "lost": dict(self.lost),
            **(listed if every else {}),
        }


def state_of(plan: StudyPlan, folder: Path, only: Sequence[str] = ()) -> StudyState:
    """Where a study stands.

    Args:
        plan: its cells.
        folder: of the study.
        only: AXIS=VALUE each: only the cells that have these values.

    Raises:
        PestleError: there is no such axis or value.
    """
    recorded, runs = _names(folder / "cells"), _names(folder / "runs")
    planned = {cell.name: cell for cell in part_of(plan, only).cells}
    states = tuple(
        _state(cell, folder, f"{name}.json" in recorded, name in runs)
        for name, cell in planned.items()
    )
    total = len({cell.name for cell in plan.cells})
    return StudyState(folder, states, _seconds_left(states), total=total)


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()


def _state(cell: PlannedCell, folder: Path, recorded: bool, has_run: bool) -> CellState:
    if not recorded:
        return CellState(cell, "waiting")
    places = Places(folder, cell.name)
    try:
        record = CellRecord.read(places.record)
    except Damaged:
        return CellState(cell, "interrupted")
    seconds = sum(step.seconds for step in record.steps.values())
    for name, key in cell.steps.items():
        step = record.steps.get(name)
        if step is None or step.key != key or (step.status == "finished" and not has_run):
            # What this cell needs now was not begun.
            begun = any(record.is_finished(*one) for one in cell.steps.items()) and has_run
            state: State = "trained" if begun else "waiting"
            return CellState(cell, _alive(state, places), name, seconds)
        if step.status == "failed":
            return CellState(cell, "failed", name, seconds, step.last_lines)
        if step.status in ("running", "interrupted"):
            return CellState(cell, _alive("interrupted", places), name, seconds)
        if name == "finetune" and is_changed(places.run, step.run_file):
            return CellState(cell, _alive("changed", places), "", seconds)
    return CellState(cell, "finished", "", seconds)


def _alive(otherwise: State, places: Places) -> State:
    """Whether a worker or its command holds the cell; a record alone may be of one that died."""
    held = is_held(lock_of_file(places.record)) or is_held(places.run / FOLDER_LOCK)
    return "running" if held else otherwise


def _seconds_left(states: Sequence[CellState]) -> float | None:
    """Mean time of finished cells, of those with the same values on most axes where there are some,
    for each that is not finished."""
    open_cells = [cell for cell in states if cell.state in OPEN]
    done = [cell for cell in states if cell.state == "finished"]
    if not open_cells:
        return 0.0
    if not done:
        return None
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for cell in done:
        groups[_kind(cell.cell)].append(cell.seconds)
    overall = sum(cell.seconds for cell in done) / len(done)
    left = 0.0
    for cell in open_cells:
        alike = groups.get(_kind(cell.cell))
        expected = sum(alike) / len(alike) if alike else overall
        left += max(0.0, expected - cell.seconds)
    return left / max(1, sum(cell.state == "running" for cell in states))


def _kind(cell: PlannedCell) -> tuple[str, ...]:
    """What the time of a cell depends on most: everything but seeds."""
    return tuple(
        f"{axis}={value}" for axis, value in cell.axes.items() if not axis.endswith("seed")
    )
