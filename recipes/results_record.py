"""docs/results/NAME: the record of a published study, and its tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.records.base import Part, Record
from pestle.records.gathered import Cell, Column, JudgedOn, Row
from pestle.wording import counted

#: Name of the record in the folder of a study.
RECORD = "study.json"


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
                    spread, n = line[f"{column.key} sd{unit}"], int(line[f"{column.key} n"])
                    # Only mean, spread and number of the values are written.
                    cells[column.key] = Cell(
                        values=(float(text),) * n,
                        mean=float(text),
                        deviation=float(spread) if spread else None,
                        n=n,
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
