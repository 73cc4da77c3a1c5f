"""Tables of several runs on a terminal."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from pestle.cli.output import print_table, width
from pestle.records.gathered import Column, Gathered, Row
from pestle.reports.gathering.shown import Block, blocks_of, text_of

#: Characters that rich draws around a cell.
_FRAME = 3
#: Level of a finding → its style.
_STYLES = {"fail": "red", "concern": "yellow", "incomplete": "dim", "pass": "green"}


def print_gathered(gathered: Gathered) -> None:
    """Print the table of several runs, block by block, then its notes.

    Args:
        gathered: the runs with their figures; the units are in the headings.
    """
    for block in blocks_of(gathered):
        if block.key == "runs" and len(block.columns) == 1:
            (column,) = block.columns
            if all(row.name == text_of(row, column) for row in block.rows):
                continue  # the names of the rows say it
        for table in _tables(block):
            print_table(table)
    for note in gathered.notes:
        typer.echo(note.replace("Best:", "* Best:", 1))


def _tables(block: Block) -> list[Table]:
    """Return a block as a table, or as several with repeated row names if it is too wide."""
    heads: list[tuple[str, str]] = []
    cells: list[list[Text]] = []
    for heading, texts in block.lead.items():
        heads.append((heading, ""))
        cells.append([Text(text) for text in texts])
    for heading, shown in zip(block.headings, block.columns, strict=True):
        heads.append((heading, shown.unit))
        cells.append([_cell(row, shown) for row in block.rows])
    names = [row.name for row in block.rows]
    first = max(map(len, names)) + _FRAME + 1
    tables: list[Table] = []
    left = 0
    for (heading, unit), column in zip(heads, cells, strict=True):
        longest = max(map(len, [*heading.split(), unit, *map(str, column)])) + _FRAME
        if not tables or longest > left:
            title = block.title if not tables else f"{block.title}, continued"
            tables.append(Table("", title=title, title_justify="left"))
            left = width() - first
        tables[-1].add_column(f"{heading}\n{unit}" if unit else heading, justify="right")
        left -= longest
    place = 0
    for table in tables:
        here = cells[place : place + len(table.columns) - 1]
        place += len(here)
        for k, name in enumerate(names):
            table.add_row(Text(name, no_wrap=True), *(column[k] for column in here))
    return tables


def _cell(row: Row, column: Column) -> Text:
    """Return a cell with its style; foundations are dim, because runs are compared with them."""
    text = Text(text_of(row, column), style="dim" if row.kind == "foundation" else "")
    cell = row.cells.get(column.key)
    if cell is not None and cell.best:
        text = Text(f"* {text}", style="bold")  # the star is for logs, which have no bold letters
    if cell is not None and cell.level is not None:
        text.stylize(_STYLES[cell.level])
    return text
