"""Views of results: tables on a terminal and in a notebook."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.console import Console
from rich.table import Table as RichTable

from pestle.wording import fixed, is_number, number

#: Letters in a line where there is no terminal.
_LETTERS = 120
#: Letters up to which a cell is not broken.
_WHOLE = 16


def line_width() -> int:
    """Return the number of letters in a line of the terminal."""
    return shutil.get_terminal_size((_LETTERS, 0)).columns


def as_text(table: RichTable) -> str:
    """Return a table as plain text, as wide as the terminal."""
    out = io.StringIO()
    Console(file=out, width=line_width(), no_color=True, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def figure(value: float | None, digits: int = 4) -> str:
    """Format a number for a table; an em dash if there is none.

    Args:
        value: the number, in the unit of its column.
        digits: number of significant digits.
    """
    return fixed(value, 0) if is_number(value) and abs(value) >= 1e5 else number(value, digits)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: text above the table.
        headings: heading of each column; a line break stands before the unit.
        rows: cells of each row, as many as there are headings.
        figures: number of columns with numbers, counted from the right.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: int = 0

    def text(self) -> str:
        """Return the table as plain text."""
        return as_text(self.rich())

    def rich(self) -> RichTable:
        """Return the table for a terminal."""
        table = RichTable(title=self.title or None, title_justify="left")
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.headings)
        for heading, right, cells in zip(self.headings, self._right, columns, strict=True):
            # Numbers and short names stay whole where the line is short.
            short = all(len(cell) <= _WHOLE for cell in cells)
            table.add_column(
                heading,
                justify="right" if right else "left",
                min_width=max(map(len, cells), default=0) if short else None,
            )
        for row in self.rows:
            table.add_row(*row)
        return table

    def html(self) -> str:
        """Return the table as HTML for a notebook; all texts are escaped."""
        align = ["right" if right else "left" for right in self._right]
        head = _row("th", [h.replace("\n", " ") for h in self.headings], align)
        body = "".join(_row("td", row, align) for row in self.rows)
        title = f"<caption style='text-align:left'>{escape(self.title)}</caption>" * bool(
            self.title
        )
        return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"

    @property
    def _right(self) -> list[bool]:
        left = len(self.headings) - self.figures
        return [k >= left for k in range(len(self.headings))]


def _row(tag: str, cells: Sequence[str], align: Sequence[str]) -> str:
    parts = [
        f"<{tag} style='text-align:{side}'>{escape(cell)}</{tag}>"
        for cell, side in zip(cells, align, strict=True)
    ]
    return f"<tr>{''.join(parts)}</tr>"


class Shown:
    """A result that a notebook shows as text, tables and a picture."""

    def lines(self) -> list[str]:
        """Return the paragraphs above the tables; the first one is the headline."""
        raise NotImplementedError

    def tables(self) -> list[Table]:
        """Return the tables, the most important one first."""
        return []

    def picture(self) -> str:
        """Return an SVG for below the tables; empty if there is none."""
        return ""

    def text(self) -> str:
        """Return the headline and the tables as plain text, for a `repr` on a terminal."""
        return "\n".join([self.lines()[0], *(table.text() for table in self.tables())])

    def _repr_html_(self) -> str:
        headline, *more = self.lines()
        text = f"<p><b>{escape(headline)}</b></p>" + "".join(f"<p>{escape(t)}</p>" for t in more)
        return text + "".join(table.html() for table in self.tables()) + self.picture()
