"""Figures of the cells of a study, by the names that tables and plots ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pestle.errors import PestleError, near_name
from pestle.metrics import ALL
from pestle.records.gathered import Column
from pestle.records.study import StudyPlan
from pestle.reports.gathering.columns import Filled, Find, columns_of
from pestle.reports.gathering.facts import RunFacts, facts_of
from pestle.reports.gathering.measured import measured
from pestle.reports.reading import protocol_title, read_results
from pestle.study.phases import phase_figures
from pestle.study.status import StudyState
from pestle.study.study_file import PhaseSettings
from pestle.study.worker import Places

#: Begins the name of a figure of what the run began with.
FOUNDATION = "foundation."
#: Figures of a table that names none, where the runs have them.
USUAL = tuple(f"{of}.{what}_rmse" for of in ("test", "valid") for what in ("energy", "forces"))


@dataclass(frozen=True)
class TrainedCell:
    """A cell whose run is finished.

    Attributes:
        axes: axis → what tables show.
        facts: what the gathering of runs takes of its folder.
    """

    axes: dict[str, Any]
    facts: RunFacts


def trained_cells(plan: StudyPlan, state: StudyState) -> list[TrainedCell]:
    """The cells of which something can be shown.

    Args:
        plan: the study, or a part of it.
        state: how far these cells are.

    Raises:
        PestleError: there is none yet.
    """
    ready = {
        one.cell.name
        for one in state.cells
        if one.state == "finished" or one.step not in ("", "finetune")
    }
    read: dict[str, RunFacts] = {}
    for name in ready:
        run: Path = Places(state.folder, name).run
        if (run / "manifest.json").is_file():
            read[name] = facts_of(read_results(run), name)
    cells = [TrainedCell(cell.axes, read[cell.name]) for cell in plan.cells if cell.name in read]
    if not cells:
        part = len(state.cells) < state.total
        raise PestleError(
            f"no run of {'these cells' if part else 'the study'} is finished yet",
            where=str(state.folder),
            fix="`pestle study status STUDY.yaml` says how far it is.",
        )
    return cells


class Figures:
    """What can be asked of some cells.

    Args:
        cells: all of them.
        phases: which test sets are in phase with the training, where the study says so.
    """

    def __init__(self, cells: Sequence[TrainedCell], phases: PhaseSettings | None = None) -> None:
        self.facts = [cell.facts for cell in cells]
        found = [*columns_of(self.facts, groups=True), *_findings(self.facts)]
        self.known = {filled.column.key: filled for filled in reversed(found)}
        if phases is not None:
            axis = phases.axis or ""
            trained_on = {cell.facts.run.name: str(cell.axes.get(axis)) for cell in cells}
            self.known |= phase_figures(phases, trained_on, self.known)

    def usual(self) -> list[str]:
        """Names of the figures of a table that names none."""
        return [name for name in USUAL if _whole(name) in self.known]

    def of(self, name: str, where: str) -> Filled:
        """The figure of a name: `test.forces_rmse`, of a group `test.GROUP.forces_rmse`, of what a
        protocol measured `torsion.rmse`, and after `foundation.` that of what a run began with.

        Args:
            name: as it was asked for.
            where: names whoever asked in an error.

        Raises:
            PestleError: no cell has such a figure.
        """
        own = name.removeprefix(FOUNDATION)
        filled = self.known.get(own) or self.known.get(_whole(own)) or measured(own, self.facts)
        if filled is None:
            short = [key.replace(f".{ALL}.", ".") for key in self.known]
            near = near_name(own, short)
            hint = f"Did you mean '{near}'? " if near else ""
            raise PestleError(
                f"no finished run has a figure '{name}' yet",
                where=where,
                fix=f"{hint}There are {', '.join(short)}.",
            )
        if own == name:
            return filled
        if filled.of_foundation is None:
            raise PestleError(f"'{own}' is not known of foundations", where=where)
        column = filled.column
        new = {"key": f"{FOUNDATION}{column.key}", "heading": f"{column.heading} before"}
        return Filled(column.model_copy(update={**new, "ranked": False}), filled.of_foundation)


def _whole(name: str) -> str:
    """`test.forces_rmse` → `test.all.forces_rmse`."""
    of, dot, what = name.partition(".")
    return f"{of}.{ALL}.{what}" if dot else name


def _findings(runs: Sequence[RunFacts]) -> list[Filled]:
    """Every finding of the tests that has a figure."""
    kinds = dict.fromkeys(
        (found.protocol, found.quantity, found.unit)
        for facts in runs
        for found in facts.findings
        if found.value is not None
    )
    return [_finding(*kind) for kind in kinds]


def _finding(protocol: str, quantity: str, unit: str) -> Filled:
    def value(facts: RunFacts) -> float | None:
        of_kind = [
            found.value
            for found in facts.findings
            if (found.protocol, found.quantity, found.unit) == (protocol, quantity, unit)
        ]
        return max((one for one in of_kind if one is not None), default=None)

    find: Find = value
    column = Column(
        key=f"{protocol}.{quantity}",
        about="tests",
        heading=quantity,
        over=protocol_title(protocol),
        unit=unit,
    )
    return Filled(column, find)
