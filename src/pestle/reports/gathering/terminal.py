"""Tables of several runs on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from pestle.records.gathered import Column, Gathered, Row
from pestle.reports.gathering.shown import Block, blocks_of, text_of

#: Characters that rich draws around a cell.
_FRAME = 3
#: Level of a finding → its style.
_STYLES = {"fail": "red", "concern": "yellow", "incomplete": "dim", "pass": "green"}


def terminal_tables(gathered: Gathered, width: int) -> list[Table]:
    """Return the tables for a terminal; a block that is too wide becomes several tables.

    Args:
        gathered: the runs.
        width: number of letters in a line.
    """
    return [
        table
        for block in blocks_of(gathered)
        if not _said_by_names(block)
        for table in _tables(block, width)
    ]


def _said_by_names(block: Block) -> bool:
    """Whether the names of the rows say all that a block of runs holds."""
    return (
        block.key == "runs"
        and len(block.columns) == 1
        and all(row.name == text_of(row, block.columns[0]) for row in block.rows)
    )


def spoken_notes(gathered: Gathered) -> list[str]:
    """Return what must be known of the tables; a star marks what is best in them."""
    return [note.replace("Best:", "* Best:", 1) for note in gathered.notes]


def _tables(block: Block, width: int) -> list[Table]:
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
    widths = [
        max(map(len, [*heading.split(), unit, *map(str, column)])) + _FRAME
        for (heading, unit), column in zip(heads, cells, strict=True)
    ]
    tables: list[Table] = []
    place = 0
    for size in _parts(widths, width - max(map(len, names)) - _FRAME - 1):
        title = block.whole_title if not tables else f"{block.title}, continued"
        tables.append(Table("", title=title, title_justify="left"))
        for heading, unit in heads[place : place + size]:
            tables[-1].add_column(f"{heading}\n{unit}" if unit else heading, justify="right")
        place += size
    place = 0
    for table in tables:
        here = cells[place : place + len(table.columns) - 1]
        place += len(here)
        for k, name in enumerate(names):
            table.add_row(Text(name, no_wrap=True), *(column[k] for column in here))
    return tables


def _parts(widths: Sequence[int], room: int) -> list[int]:
    """Return the number of columns of each table: as few tables as there is room for, about
    equally wide."""

    def filled(limit: int) -> list[int]:
        sizes: list[int] = []
        left = 0
        for one in widths:
            if not sizes or one > left:
                sizes.append(0)
                left = limit
            sizes[-1] += 1
            left -= one
        return sizes

    fewest = len(filled(room))
    return next(sizes for limit in range(room + 1) if len(sizes := filled(limit)) <= fewest)


def _cell(row: Row, column: Column) -> Text:
    """Return a cell with its style; foundations are dim, because runs are compared with them."""
    text = Text(text_of(row, column), style="dim" if row.kind == "foundation" else "")
    cell = row.cells.get(column.key)
    if cell is not None and cell.best:
        text = Text(f"* {text}", style="bold")  # the star is for logs, which have no bold letters
    if cell is not None and cell.level is not None:
        text.stylize(_STYLES[cell.level])
    return text
