"""Several runs as an object in Python, with tables in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pestle.records.gathered import Gathered
from pestle.reports.gathering.files import csv_of, latex_of
from pestle.reports.gathering.shown import blocks_of, text_of
from pestle.reports.gathering.terminal import spoken_notes, terminal_tables
from pestle.views import Shown, Table, as_text, line_width
from pestle.wording import counted


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Several runs, side by side.

    Attributes:
        table: the table, with the values of every run.
    """

    table: Gathered

    def lines(self) -> list[str]:
        """Return the number of runs and rows, and the notes of the table."""
        rows = [row for row in self.table.rows if row.kind != "foundation"]
        runs = sum(len(row.runs) for row in rows)
        return [f"{counted(runs, 'run')} in {counted(len(rows), 'row')}", *self.table.notes]

    def tables(self) -> list[Table]:
        """Return the blocks of the table; best values have a star."""
        found = []
        for block in blocks_of(self.table):
            units = [f"\n{column.unit}" if column.unit else "" for column in block.columns]
            headings = [head + unit for head, unit in zip(block.headings, units, strict=True)]
            rows = []
            for k, row in enumerate(block.rows):
                cells = [
                    "* " * row.cells[column.key].best + text_of(row, column)
                    if column.key in row.cells
                    else text_of(row, column)
                    for column in block.columns
                ]
                rows.append([row.name, *(texts[k] for texts in block.lead.values()), *cells])
            figures = len(block.lead) + len(headings)
            found.append(Table(block.whole_title, ["", *block.lead, *headings], rows, figures))
        return found

    def csv(self) -> str:
        """Return the table as CSV, with all digits and with units in the headings."""
        return csv_of(self.table)

    def latex(self) -> str:
        """Return the table as LaTeX, in parts that fit on a page; needs booktabs."""
        return latex_of(self.table)

    def to_json(self) -> dict[str, Any]:
        """Return the data that `pestle report --json` prints."""
        return self.table.in_file()

    def __repr__(self) -> str:
        tables = [as_text(table) for table in terminal_tables(self.table, line_width())]
        return "\n".join([self.lines()[0], *tables, *spoken_notes(self.table)])
