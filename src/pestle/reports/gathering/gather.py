"""Several run folders as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pestle.records.gathered import Cell, Column, Gathered, JudgedOn, Row
from pestle.records.verdict import Verdict
from pestle.reports.error_tables import set_in_words
from pestle.reports.gathering.columns import Filled, columns_of
from pestle.reports.gathering.facts import RunFacts, facts_of
from pestle.reports.gathering.frames import Identity, common
from pestle.reports.gathering.sameness import (
    Together,
    differing,
    distinct_names,
    row_names,
    rows_of,
    spoken_settings,
)
from pestle.reports.gathering.spread import cell_of, with_best
from pestle.reports.reading import REPLAY_SET, read_results
from pestle.reports.verdict import LEVELS
from pestle.wording import counted, listed, number

VERDICT = Column(key="verdict", about="tests", heading="verdict", kind="text")


def gather(folders: Sequence[Path], *, groups: bool = False) -> Gathered:
    """Make one table of several run folders; runs that differ only by their seed are one row.

    Args:
        folders: folders of runs, or of tests of a model.
        groups: whether errors by config_type have their own columns.

    Returns:
        The table. Its last rows are the foundations, with the E0s of the runs.

    Raises:
        PestleError: a folder does not exist.
    """
    results = [read_results(Path(folder), drawn=False) for folder in folders]
    names = distinct_names([found.path for found in results])
    runs = [facts_of(found, name) for found, name in zip(results, names, strict=True)]
    return table_of(runs, groups=groups)


def table_of(runs: Sequence[RunFacts], *, groups: bool = False) -> Gathered:
    """Make the table of `gather` from folders that are read already.

    Args:
        runs: content of each folder.
        groups: whether errors by config_type have their own columns.
    """
    together = rows_of(runs)
    shown, following = differing(together)
    filled = columns_of(runs, groups=groups)
    spoken = spoken_settings(together, [*shown, *following])
    classes = _Classes()
    rows = [
        _row(row, name, settings, filled, classes)
        for row, name, settings in zip(together, row_names(together), spoken, strict=True)
    ]
    rows += _foundations(together, filled, classes)
    columns = [Column(key=name, about="settings", heading=name, kind="text") for name in shown]
    if any(VERDICT.key in row.cells for row in rows):
        columns.append(VERDICT)
    columns += [one.column for one in filled]
    rows = with_best(rows, columns)
    return Gathered(
        columns=tuple(columns), rows=tuple(rows), notes=tuple(_notes(rows, columns, following))
    )


class _Classes:
    """Gives equal frames the same text, also if their hashes are of different kinds."""

    def __init__(self) -> None:
        self._known: list[Identity] = []

    def text(self, identity: Identity | None) -> str | None:
        """Return the text of some frames; `None` if their hash is not known."""
        if identity is None or not identity.text:
            return None
        first = next((one for one in self._known if one.same_as(identity)), None)
        if first is None:
            self._known.append(identity)
        return (first or identity).text


def _row(
    row: Together, name: str, settings: dict[str, Any], filled: Sequence[Filled], classes: _Classes
) -> Row:
    """Return the row of runs that differ only by their seed."""
    cells = {}
    for one in filled:
        cell = cell_of([one.find(facts) for facts in row])
        if one.level is not None:
            levels = [level for facts in row if (level := one.level(facts)) is not None]
            if levels:
                # A finding may have a level but no value.
                worst = min(levels, key=list(LEVELS).index)
                cell = (cell or Cell()).model_copy(update={"level": worst})
        if cell is not None:
            cells[one.column.key] = cell
    verdicts = [facts.results.verdict for facts in row if facts.results.verdict is not None]
    if verdicts:
        cells[VERDICT.key] = _verdict(verdicts, len(row))
    return Row(
        name=name,
        kind="runs" if row[0].results.is_run else "tested",
        runs=tuple(facts.run for facts in row),
        seeds=tuple(facts.run.seed for facts in row if facts.run.seed is not None),
        settings=settings,
        judged_on=_judged_on(row, classes),
        cells=cells,
    )


def _verdict(found: Sequence[Verdict], n_runs: int) -> Cell:
    """Return the verdicts of a row: `fail (broad)`, or `pass 2 of 3 (broad)` of several runs."""
    levels = [verdict.verdict for verdict in found]
    words = [
        level if levels.count(level) == n_runs else f"{level} {levels.count(level)} of {n_runs}"
        for level in LEVELS
        if level in levels
    ]
    scopes = dict.fromkeys(verdict.scope for verdict in found)
    worst = min(levels, key=list(LEVELS).index)
    return Cell(text=f"{', '.join(words)} ({' and '.join(scopes)})", level=worst, n=len(levels))


def _judged_on(row: Together, classes: _Classes) -> dict[str, JudgedOn]:
    """Return the frames of each set on which the runs of a row were judged."""
    sets = dict.fromkeys(name for facts in row for name in facts.errors)
    found = {}
    for name in sets:
        # Runs without errors on a set do not count for this set.
        identities = [facts.identities.get(name) for facts in row if name in facts.errors]
        counts = {one.n_frames for one in identities if one is not None}
        found[name] = JudgedOn(
            n_frames=counts.pop() if len(counts) == 1 else None,
            frames=classes.text(common(identities)),
        )
    return found


def _foundations(
    together: Sequence[Together], filled: Sequence[Filled], classes: _Classes
) -> list[Row]:
    """Return a row for each foundation with the E0s of its runs; equal rows are joined."""
    rows: list[Row] = []
    for row in together:
        cells = {}
        for one in filled:
            if one.of_foundation is None:
                continue
            cell = cell_of([one.of_foundation(facts) for facts in row])
            if cell is not None and len({number(value, 6) for value in cell.values}) == 1:
                cell = cell_of(cell.values[:1])  # the runs have the same foundation
            if cell is not None:
                cells[one.column.key] = cell
        if not cells or not row[0].foundation:
            continue
        manifest = row[0].manifest
        e0s = manifest.reference_energies.method if manifest is not None else "its own"
        new = Row(
            name=f"{row[0].foundation} (E0s: {e0s})",
            kind="foundation",
            runs=(row[0].run,),
            judged_on=_judged_on(row, classes),
            cells=cells,
        )
        same = next((k for k, old in enumerate(rows) if _agree(old, new)), None)
        if same is None:
            rows.append(new)
        else:
            old = rows[same]
            joined = {"cells": new.cells | old.cells, "judged_on": new.judged_on | old.judged_on}
            rows[same] = old.model_copy(update=joined)
    rows = _joined(rows)
    names = [row.name for row in rows]
    return [
        row
        if names.count(row.name) == 1
        else row.model_copy(update={"name": f"{row.name[:-1]}, of {row.runs[0].name})"})
        for row in rows
    ]


def _joined(rows: Sequence[Row]) -> list[Row]:
    """Join rows of one foundation that were judged on the same frames: where its E0s depend on the
    training frames its errors differ a little, and are a mean."""
    groups: list[list[Row]] = []
    for row in rows:
        same = next((g for g in groups if g[0].name == row.name and _same_frames(g[0], row)), None)
        if same is None:
            groups.append([row])
        else:
            same.append(row)
    found = []
    for group in groups:
        keys = dict.fromkeys(key for row in group for key in row.cells)
        cells = {
            key: cell
            for key in keys
            if (cell := cell_of([v for r in group if key in r.cells for v in r.cells[key].values]))
        }
        judged = {name: on for row in reversed(group) for name, on in row.judged_on.items()}
        found.append(
            group[0].model_copy(update={"cells": cells, "judged_on": judged})
            if len(group) > 1
            else group[0]
        )
    return found


def _same_frames(one: Row, other: Row) -> bool:
    """Whether two rows were judged on the same frames, but for those that were trained on."""
    sets = (set(one.judged_on) & set(other.judged_on)) - {"train", REPLAY_SET}
    return bool(sets) and all(one.judged_on[name] == other.judged_on[name] for name in sets)


def _agree(one: Row, other: Row) -> bool:
    """Whether two rows of a foundation agree in all values that both have."""
    figures = set(one.cells) & set(other.cells)
    sets = set(one.judged_on) & set(other.judged_on)
    return (
        one.name == other.name
        and all(number(one.cells[k].mean, 6) == number(other.cells[k].mean, 6) for k in figures)
        and all(one.judged_on[name] == other.judged_on[name] for name in sets)
    )


def _notes(rows: Sequence[Row], columns: Sequence[Column], following: Sequence[str]) -> list[str]:
    """Return the notes for readers of the table."""
    notes = []
    several = [row for row in rows if len(row.runs) > 1]
    if several:
        notes.append(
            "± is the standard deviation over runs that differ by their seed alone (n − 1)."
        )
    unfinished = [
        run.name for row in rows for run in row.runs if run.status not in ("", "finished")
    ]
    if unfinished:
        notes.append(f"Not finished: {listed(list(dict.fromkeys(unfinished)))}.")
    ranked = [column for column in columns if column.ranked]
    for name in dict.fromkeys(column.frames for column in ranked):
        frames = [row.judged_on[name].frames for row in rows if name in row.judged_on]
        if len(set(frames)) > 1:
            notes.append(
                f"Not all rows were judged on the same {set_in_words(name)}: only rows of equal "
                "frames are compared."
            )
        elif frames and frames[0] is None and len(frames) > 1:
            notes.append(f"Whether the {set_in_words(name)} are the same in all rows is not known.")
    if any(cell.best for row in rows for cell in row.cells.values()):
        best = "Best: the smallest among rows that were judged on equal frames"
        if several:
            best += ", if the difference to every other one exceeds the spread of the two"
        notes.append(f"{best}.")
    if following:
        notes.append(
            f"{counted(len(following), 'other setting')} that nobody asked for "
            f"{'differs' if len(following) == 1 else 'differ'} too, mostly by method: "
            f"{', '.join(following)}."
        )
    return notes
