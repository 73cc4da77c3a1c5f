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

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pestle.errors import PestleError, nearest
from pestle.files import write_text
from pestle.records.base import Part, Record
from pestle.records.gathered import Cell, Column, JudgedOn, Row
from pestle.reports.gathering.shown import text_of
from pestle.reports.gathering.spread import with_best
from pestle.wording import MISSING, counted, listed

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
#: Name of the record in the folder of a study.
RECORD = "study.json"
_FILLED = re.compile(r"(<!-- (study|table): (.*?)-->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BEST = ("smallest", "largest", "nearest")


class PublishedRun(Part):
    """A run of a study.

    Attributes:
        axes: axis → value.
        converged: whether its training ended where it learned no more; null if this is not known.
        updates: number of updates.
    """

    axes: dict[str, Any]
    converged: bool | None = None
    updates: int | None = None


class PublishedPlot(Part):
    """A plot of a study.

    Attributes:
        title: what it is of.
        caption: sentence below it.
    """

    title: str
    caption: str = ""


class Published(Record):
    """study.json: what the tables and pictures beside it were made from.

    Attributes:
        study: file of the study, from the top of the repository.
        command: what makes the runs; words in capitals are the reader's folders.
        pestle: version that made the runs.
        cells: number of cells of the study.
        runs: the runs that are finished.
        seeds: axes that are seeds.
        tables: name → columns of NAME.csv.
        plots: NAME of plot-NAME.svg and plot-NAME.csv → title and caption.
        note: what else must be known of the runs; empty for nothing.
    """

    format: int = 1
    study: str
    command: str
    pestle: str
    cells: int
    runs: tuple[PublishedRun, ...]
    seeds: tuple[str, ...] = ()
    tables: dict[str, tuple[Column, ...]]
    plots: dict[str, PublishedPlot]
    note: str = ""

    @property
    def in_words(self) -> str:
        """Number of runs and seeds, and whether they converged, as a sentence."""
        of = f" of {self.cells}" if len(self.runs) < self.cells else ""
        seeds = {tuple(run.axes.get(axis) for axis in self.seeds) for run in self.runs}
        ended = [run.converged is True for run in self.runs]
        text = f"{len(self.runs)}{of} runs" if of else counted(len(self.runs), "run")
        text += f" with {counted(len(seeds), 'seed')}" if self.seeds else ""
        if all(ended):
            text += ", all converged" if len(ended) > 1 else ", converged"
        elif any(ended):
            text += f", {sum(ended)} of them converged"
        else:
            updates = sorted({run.updates for run in self.runs if run.updates is not None})
            length = "–".join(dict.fromkeys(f"{n:,}" for n in (*updates[:1], *updates[-1:])))
            noun = "update" if updates == [1] else "updates"
            text += f", not converged after {length} {noun}" if updates else ", not converged"
        return f"{text} (Pestle {self.pestle}). {self.note}".rstrip()


@dataclass(frozen=True)
class Table:
    """A published table: its columns by key, and its rows by name."""

    columns: dict[str, Column]
    rows: dict[str, Row]


def read_table(folder: Path, name: str, columns: Sequence[Column]) -> Table:
    """Read NAME.csv as `pestle study table` writes it; digits and spreads are all there.

    Args:
        folder: of the published study.
        name: of the table.
        columns: its columns, which the record has.

    Raises:
        PestleError: a column is missing.
    """
    path, rows = folder / f"{name}.csv", {}
    with path.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            cells: dict[str, Cell] = {}
            settings: dict[str, Any] = {}
            judged: dict[str, JudgedOn] = {}
            for column in columns:
                unit = f" ({column.unit})" if column.unit else ""
                text = line.get(f"{column.key}{unit}")
                if text is None:
                    raise PestleError(f"has no column '{column.key}{unit}'", where=str(path))
                if column.about == "settings":
                    settings |= {column.key: text} if text else {}
                elif text:
                    spread = line[f"{column.key} sd{unit}"]
                    n = int(line[f"{column.key} n"])
                    of_all = max(n, int(line["n_runs"]))
                    # Only the number of values is written, not the values themselves.
                    values = (float(text),) * n + (None,) * (of_all - n)
                    deviation = float(spread) if spread else None
                    cells[column.key] = Cell(
                        values=values, mean=float(text), deviation=deviation, n=n
                    )
                if column.frames:
                    found = line.get(f"{column.frames} frames") or None
                    judged[column.frames] = JudgedOn(frames=found)
            kind: Any = line["kind"]
            rows[line["row"]] = Row(
                name=line["row"],
                kind=kind,
                runs=(),
                seeds=tuple(int(seed) for seed in line["seeds"].split(";") if seed),
                settings=settings,
                judged_on=judged,
                cells=cells,
            )
    return Table({column.key: column for column in columns}, rows)


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
    heads, columns, n_axes = [], [], 0
    asked = dict(asked)
    runs_alone = asked.pop("rows", "all") == "runs"
    for heading, source in asked.items():
        source, _, best = source.partition(",")
        table, _, key = source.strip().rpartition(" ")
        found = [one for one in tables.values() if key in one.columns]
        if (table and table not in tables) or not found:
            keys = [f"{t} {k}" for t, one in tables.items() for k in one.columns]
            raise PestleError(
                f"'{folder.name}' has no column '{source.strip()}'",
                where=heading,
                fix=f"{nearest(source, keys)} There are {', '.join(keys)}.".lstrip(),
            )
        column = (tables[table] if table else found[0]).columns[key]
        heads.append(f"{heading} ({column.unit})" if column.unit else heading)
        shown = [tables[table]] if table else found
        columns.append(_column(column, shown, best.strip()))
        n_axes += column.about == "settings"
    every = {row.name: row for one in tables.values() for row in one.rows.values()}
    names = [
        name
        for name in dict.fromkeys(name for column in columns for name in column)
        if any(column.get(name, MISSING) != MISSING for column in columns)
        and (every[name].kind == "runs" or not runs_alone)
    ]
    body = [[column.get(name, MISSING) for column in columns] for name in names]
    for line, name in zip(body, names, strict=True):
        # An untrained model has no settings: its name stands in the first column.
        line[0] = name if line[0] == MISSING else line[0]
    n_seeds = [len(every[name].seeds) for name in names]
    if len({n for n in n_seeds if n}) > 1:
        heads.insert(n_axes, "runs")
        for line, n in zip(body, n_seeds, strict=True):
            line.insert(n_axes, str(n or MISSING))
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _column(column: Column, tables: Sequence[Table], best: str) -> dict[str, str]:
    """Return row → text of a column, the best one in bold."""
    rows = {name: row for one in tables for name, row in one.rows.items()}
    if column.about == "settings":
        return {name: str(row.settings.get(column.key, MISSING)) for name, row in rows.items()}
    how, _, target = best.partition(" ")
    if best and how not in _BEST:
        raise PestleError(f"'{best}' says not which value is best", fix=f"{listed(_BEST)} NUMBER.")
    winners = set()
    if best:
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
