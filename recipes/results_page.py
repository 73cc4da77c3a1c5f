"""Fill the tables of docs/results.md from the published results of studies.

    python recipes/results_page.py

A comment begins what is filled, and `<!-- end -->` ends it. All else on the page stays as it is.

    <!-- study: NAME -->             the command, the runs, and links to the numbers
    <!-- table: NAME/TABLE -->       a table as the study has it
    <!-- table: NAME                 columns of one or several tables of the study
    method: method                   heading: axis of the study (quoted if it has a colon)
    test energy: table4 test.all.energy_rmse, smallest
    barrier: fig6c neb.reactions.neb_mp2.path.barrier, nearest 1.98
    rows: runs                       no rows of untrained models (optional)
    -->

After the comma: which value is the best. It is bold if its difference to every other row exceeds
the spread of this difference; only rows that were judged on equal frames are compared, untrained
models among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from results_record import RECORD, Published, Table, read_table

from pestle.errors import PestleError, nearest
from pestle.files import write_text
from pestle.records.gathered import Cell, Column, JudgedOn, Row
from pestle.reports.gathering.shown import text_of
from pestle.reports.gathering.spread import with_best
from pestle.wording import MISSING, counted, listed

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
_FILLED = re.compile(r"(<!-- (study|table): (.*?)-->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BEST = ("smallest", "largest", "nearest")


def filled(text: str, docs: Path, only: str = "") -> str:
    """Return the page with all that is filled.

    Args:
        text: the page.
        docs: folder of the page, with the folder `results`.
        only: the study whose tables are filled; empty: all.

    Raises:
        PestleError: a comment names no published study, table or column.
    """

    def content(match: re.Match[str]) -> str:
        begin, kind, asked, _, end = match.groups()
        name, _, table = asked.split("\n")[0].strip().partition("/")
        if only not in ("", name):
            return match[0]
        folder = docs / "results" / name
        if not (folder / RECORD).is_file():
            known = [path.parent.name for path in docs.glob(f"results/*/{RECORD}")]
            raise PestleError(f"no study '{name}' is published", fix=nearest(name, known))
        record = Published.read(folder / RECORD)
        if kind == "study":
            made = _about(record, name)
        else:
            made = _table(record, folder, table, _asked(asked, name))
        return f"{begin}\n{made}\n\n{end}"

    return _FILLED.sub(content, text)


def _asked(text: str, name: str) -> dict[str, str]:
    """Return heading → source of the columns in a comment; empty if it names none."""
    try:
        found = yaml.safe_load(text.partition("\n")[2]) or {}
    except yaml.YAMLError as error:
        raise PestleError(f"cannot be understood: {error}", where=f"table: {name}") from None
    if not isinstance(found, Mapping):
        raise PestleError("names no columns", where=f"table: {name}", fix="HEADING: TABLE COLUMN")
    return {str(heading): str(source) for heading, source in found.items()}


def _about(record: Published, name: str) -> str:
    """Return the command, the runs, and links to the tables."""
    links = [f"[{table}.csv](results/{name}/{table}.csv)" for table in record.tables]
    return f"    {record.command}\n\n{record.in_words} All digits: {listed(links)}."


def _table(record: Published, folder: Path, name: str, asked: Mapping[str, str]) -> str:
    """Return a table in Markdown."""
    tables = {table: read_table(folder, table, columns) for table, columns in record.tables.items()}
    if not asked:
        if name not in tables:
            raise PestleError(
                f"'{folder.name}' has no table '{name}'", fix=nearest(name, list(tables))
            )
        asked = {
            column.heading: column.key
            if column.about == "settings"
            else f"{name} {column.key}" + ", smallest" * column.ranked
            for column in record.tables[name]
        }
    heads: list[str] = []
    columns: list[dict[str, str]] = []
    #: Row → number of runs that its value is the mean of; `None` of an axis.
    figures: list[dict[str, int] | None] = []
    n_axes = 0
    asked = dict(asked)
    runs_alone = asked.pop("rows", "all") == "runs"
    for heading, source in asked.items():
        # Keys may hold commas and spaces: `Ih, average: test.all.forces_rmse`.
        key, best = source, ""
        if source.rpartition(", ")[2].split()[:1] in [[how] for how in _BEST]:
            key, _, best = source.rpartition(", ")
        table, _, rest = key.partition(" ")
        table, key = (table, rest) if rest and table in tables else ("", key)
        found = [
            one for one in ([tables[table]] if table else tables.values()) if key in one.columns
        ]
        if not found:
            keys = [f"{t} {k}" for t, one in tables.items() for k in one.columns]
            raise PestleError(
                f"'{folder.name}' has no column '{source}'",
                where=heading,
                fix=f"{nearest(source, keys)} There are {', '.join(keys)}.".lstrip(),
            )
        column = found[0].columns[key]
        heads.append(f"{heading} ({column.unit})" if column.unit else heading)
        columns.append(_column(column, found, best))
        is_axis = column.about == "settings"
        n_axes += is_axis
        counts = {
            row.name: row.cells[column.key].n
            for one in found
            for row in one.rows.values()
            if column.key in row.cells
        }
        figures.append(None if is_axis else counts)
    if not n_axes:
        heads.insert(0, "")
        columns.insert(0, {})
        figures.insert(0, None)
        n_axes = 1
    every = {row.name: row for one in tables.values() for row in one.rows.values()}
    names = [
        name
        for name in dict.fromkeys(name for column in columns for name in column)
        if any(column.get(name, MISSING) != MISSING for column in columns)
        and (every[name].kind == "runs" or not runs_alone)
    ]
    body, n_runs = [], []
    for name in names:
        n_of = [
            figure.get(name, 0) if figure is not None and every[name].kind == "runs" else 0
            for figure in figures
        ]
        n_runs.append(max(n_of))
        line = [
            f"{text} ({counted(n, 'run')})" if 0 < n < max(n_of) else text
            for text, n in zip([one.get(name, MISSING) for one in columns], n_of, strict=True)
        ]
        # An untrained model has no settings: its name stands in the first column.
        body.append([name if line[0] == MISSING else line[0], *line[1:]])
    if len({n for n in n_runs if n}) > 1:
        heads.insert(n_axes, "runs")
        for line, n in zip(body, n_runs, strict=True):
            line.insert(n_axes, str(n or MISSING))
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _column(column: Column, tables: Sequence[Table], best: str) -> dict[str, str]:
    """Return row → text of a column, the best one in bold."""
    rows = {name: row for one in tables for name, row in one.rows.items()}
    if column.about == "settings":
        return {name: str(row.settings.get(column.key, MISSING)) for name, row in rows.items()}
    how, _, target = best.partition(" ")
    winners = set()
    # Of single runs nobody knows the spread.
    spread = [one for row in rows.values() if (one := row.cells.get(column.key)) and one.deviation]
    if best and spread:
        frames = column.frames or "all"
        compared = [
            Row(
                name=row.name,
                kind=row.kind,
                runs=(),
                judged_on=row.judged_on if column.frames else {"all": JudgedOn(frames="the same")},
                cells={"value": _as_error(row.cells[column.key], how, target)},
            )
            for row in rows.values()
            if column.key in row.cells
        ]
        value = Column(key="value", about="errors", heading="", frames=frames, ranked=True)
        winners = {row.name for row in with_best(compared, [value]) if row.cells["value"].best}
    texts = {name: _text(row, column) for name, row in rows.items()}
    return {name: f"**{text}**" if name in winners else text for name, text in texts.items()}


def _text(row: Row, column: Column) -> str:
    """Return a value with its spread; numbers of things that are equal in all runs are whole."""
    cell = row.cells.get(column.key)
    whole = cell is not None and cell.mean is not None and cell.mean.is_integer()
    if whole and not column.unit and column.kind == "number":
        column = column.model_copy(update={"kind": "count"})
    return text_of(row, column)


def _as_error(cell: Cell, how: str, target: str) -> Cell:
    """Return a cell of which the smallest is the best, with the same spread."""
    mean = cell.mean or 0.0
    value = {"smallest": mean, "largest": -mean}.get(how)
    if value is None:
        value = abs(mean - float(target))
    return cell.model_copy(update={"mean": value})


if __name__ == "__main__":
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), PAGE.parent))
