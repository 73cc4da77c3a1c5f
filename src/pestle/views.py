"""How results show themselves: a line in Python, tables on a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table as RichTable


def figure(value: float | None, digits: int = 4) -> str:
    """A figure with so many significant digits; an em dash for none."""
    if value is None or value != value:
        return "—"
    return f"{value:.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: above it.
        headings: of the columns; a line break stands before a unit.
        rows: as many cells each as there are headings.
        figures: how many columns, counted from the right, hold figures.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: int = 0

    def rich(self) -> RichTable:
        """The table for a terminal."""
        table = RichTable(title=self.title or None, title_justify="left")
        for heading, right in zip(self.headings, self._right, strict=True):
            table.add_column(heading, justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def html(self) -> str:
        """The table for a notebook; everything in it is escaped."""
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
        """What stands above the tables, a paragraph each; the first is the headline."""
        raise NotImplementedError

    def tables(self) -> list[Table]:
        """The tables, the most important first."""
        return []

    def picture(self) -> str:
        """An SVG below the tables; empty where there is none."""
        return ""

    def _repr_html_(self) -> str:
        headline, *more = self.lines()
        text = f"<p><b>{escape(headline)}</b></p>" + "".join(f"<p>{escape(t)}</p>" for t in more)
        return text + "".join(table.html() for table in self.tables()) + self.picture()
