"""Tables of a study: axes make rows and columns, seeds make means and deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.errors import PestleError
from pestle.records.gathered import Cell, Column, Gathered, JudgedOn, Row
from pestle.records.study import StudyPlan
from pestle.reports.gathering.columns import Filled
from pestle.reports.gathering.frames import Identity, common
from pestle.reports.gathering.spread import cell_of, with_best
from pestle.study.figures import Figures, TrainedCell
from pestle.study.foundation_rows import before, foundation_rows
from pestle.study.study_file import TableSettings
from pestle.wording import setting_value

#: Values of some axes.
Key = tuple[Any, ...]


def axes_in(cells: Sequence[TrainedCell]) -> list[str]:
    """All axes, in their order."""
    return list(dict.fromkeys(axis for cell in cells for axis in cell.axes))


def require_values(names: Sequence[str], cells: Sequence[TrainedCell], where: str) -> None:
    """Some cell must have a value of each axis: cells that were included may lack one.

    Args:
        names: axes of the study.
        cells: that are shown.
        where: names whoever asked in an error.

    Raises:
        PestleError: no cell has a value of one of them.
    """
    for name in names:
        if all(cell.axes.get(name) is None for cell in cells):
            raise PestleError(f"no finished run has a value of '{name}' yet", where=where)


def part_shown(
    cells: Sequence[TrainedCell], whole: StudyPlan, only: Sequence[str], axes: Sequence[str]
) -> str:
    """A sentence that says how many cells of a study are shown; empty where all of them are.

    Args:
        cells: that are shown.
        whole: plan of the study.
        only: AXIS=VALUE each, by which cells were chosen.
        axes: without a value of which no cell can be shown.
    """
    held = {cell.facts.run.name for cell in cells}
    known = {
        cell.name for cell in whole.cells if all(cell.axes.get(axis) is not None for axis in axes)
    }
    if len(held) == len(known):
        return ""
    chosen = f" (only {', '.join(only)})" if only else ""
    return f"Holds {len(held)} of {len(known)} cells of the study{chosen}."


def grouped(cells: Sequence[TrainedCell], axes: Sequence[str]) -> dict[Key, list[TrainedCell]]:
    """Cells by their values on some axes, in the order in which they are met."""
    found: dict[Key, list[TrainedCell]] = {}
    for cell in cells:
        found.setdefault(tuple(_hashable(cell.axes.get(axis)) for axis in axes), []).append(cell)
    return found


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def spoken(values: Key) -> str:
    """Values of axes as one text."""
    return ", ".join(setting_value(list(v) if isinstance(v, tuple) else v) for v in values)


def table(
    name: str,
    asked: TableSettings,
    cells: Sequence[TrainedCell],
    figures: Figures,
    whole: StudyPlan,
    only: Sequence[str] = (),
) -> Gathered:
    """One table of a study.

    Args:
        name: of the table.
        asked: what it shows.
        cells: of the study that are trained.
        figures: what can be asked of them.
        whole: plan of the study; means are over its seeds unless the table says others.
        only: AXIS=VALUE each, by which the cells were chosen.

    Raises:
        PestleError: no cell has a value of an axis that makes columns, or any of the figures.
    """
    where = f"tables.{name}"
    over = list(whole.seeds) if asked.over is None else asked.over
    require_values(asked.columns, cells, where)
    rows = asked.rows or [a for a in axes_in(cells) if a not in (*asked.columns, *over)]
    shown = [cell for cell in cells if all(cell.axes.get(a) is not None for a in asked.columns)]
    pivots = grouped(shown, asked.columns)
    values: list[Filled] = []
    absent: list[str] = []
    for value in asked.values:
        try:
            values.append(figures.of(value, where))
        except PestleError:
            if len(absent) + 1 == len(asked.values):
                raise
            absent.append(f"No finished run has '{value}' yet.")
    columns = [Column(key=axis, about="settings", heading=axis, kind="text") for axis in rows]
    places: list[tuple[Column, Key, Filled]] = []
    for pivot in pivots:
        head = _head(asked.columns, pivot)
        places += [(_column(name, head, filled.column), pivot, filled) for filled in values]
    found, begun = [], []
    for key, members in grouped(shown, rows).items():
        row = _row(key, rows, members, asked.columns, places)
        found.append(row)
        by_pivot = grouped(members, asked.columns)
        figures_of = {
            column.key: (filled, by_pivot.get(pivot, [])) for column, pivot, filled in places
        }
        begun.append(before(members, figures_of, row.judged_on))
    columns += [column for column, _, _ in places]
    if asked.foundation:
        found += foundation_rows(begun, rows)
    return Gathered(
        columns=tuple(columns),
        rows=tuple(with_best(found, columns)),
        notes=tuple(
            note
            for note in (
                part_shown(shown, whole, only, asked.columns),
                *_notes(found, rows, asked.columns, over, shown),
                *absent,
            )
            if note
        ),
    )


def _head(axes: Sequence[str], values: Key) -> str:
    """Values of axes that make columns: labels as they are, numbers with the name of their axis."""
    return ", ".join(
        spoken((value,))
        if isinstance(value, str)
        else f"{axis.rpartition('.')[2]} {spoken((value,))}"
        for axis, value in zip(axes, values, strict=True)
    )


def _column(table_name: str, pivot: str, column: Column) -> Column:
    """A column of the figure, for the values of the axes that make columns."""
    of = f"{column.over}, {column.heading}" if column.over else column.heading
    return column.model_copy(
        update={
            "key": f"{pivot}: {column.key}" if pivot else column.key,
            "about": "errors",
            "heading": f"{pivot}: {of}" if pivot else of,
            "over": table_name,
            # Frames are those of the column: data sets may be columns.
            "frames": f"{pivot}: {column.frames}" if column.frames else "",
            "group": table_name,
        }
    )


def _row(
    key: Key,
    rows: Sequence[str],
    members: Sequence[TrainedCell],
    columns: Sequence[str],
    places: Sequence[tuple[Column, Key, Filled]],
) -> Row:
    by_pivot = grouped(members, columns)
    cells: dict[str, Cell] = {}
    judged: dict[str, JudgedOn] = {}
    for column, pivot, filled in places:
        facts = [cell.facts for cell in by_pivot.get(pivot, [])]
        cell = cell_of([filled.find(one) for one in facts])
        if cell is None:
            continue
        cells[column.key] = cell
        if column.frames:
            of_set = filled.column.frames
            same = common([one.identities.get(of_set) for one in facts])
            judged[column.frames] = _judged(same)
    runs = tuple({cell.facts.run.name: cell.facts.run for cell in members}.values())
    return Row(
        name=spoken(key) or "all",
        runs=runs,
        seeds=tuple(run.seed for run in runs if run.seed is not None),
        settings=dict(zip(rows, key, strict=True)),
        judged_on=judged,
        cells=cells,
    )


def _judged(same: Identity | None) -> JudgedOn:
    if same is None:
        return JudgedOn()
    return JudgedOn(n_frames=same.n_frames, frames=same.text or None)


def _notes(
    found: Sequence[Row],
    rows: Sequence[str],
    columns: Sequence[str],
    over: Sequence[str],
    shown: Sequence[TrainedCell],
) -> list[str]:
    """What is averaged, and over how many runs."""
    counts: Mapping[int, None] = dict.fromkeys(
        cell.n for row in found if row.kind == "runs" for cell in row.cells.values()
    )
    notes = []
    if any(count > 1 for count in counts):
        numbers = ", ".join(map(str, sorted(counts)))
        notes.append(f"± is the standard deviation (n − 1) over {numbers} runs.")
    pooled = averaged_over(shown, [*rows, *columns], over)
    return [*notes, pooled] if pooled else notes


def averaged_over(cells: Sequence[TrainedCell], apart: Sequence[str], over: Sequence[str]) -> str:
    """A sentence on axes over which means are taken although they are no seeds; empty for none.

    Args:
        cells: that are shown.
        apart: axes that tell figures apart.
        over: axes that are seeds.
    """
    values: dict[str, set[str]] = {}
    for cell in cells:
        for axis in set(cell.axes) - {*apart, *over}:
            values.setdefault(axis, set()).add(str(cell.axes[axis]))
    found = [axis for axis in axes_in(cells) if len(values.get(axis, ())) > 1]
    if not found:
        return ""
    verb = "which is no seed" if len(found) == 1 else "which are no seeds"
    return f"The means are also over {', '.join(found)}, {verb}."
