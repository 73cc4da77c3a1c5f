"""Tables of protocols: texts of the cells, and the values by which they are sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pestle.protocols.results import Table
from pestle.reports.models import Models
from pestle.wording import MISSING, count, is_number, number

#: Largest number of rows that a page shows of one table, and of all tables of a protocol.
MAX_ROWS, MAX_ALL_ROWS = 400, 2000
#: A table with more rows scrolls in its own box.
TALL = 40
#: Largest number of letters in a line of a cell.
READABLE = 36


def table_rows(
    tables: Sequence[Table], models: Models, labels: dict[str, str]
) -> list[dict[str, Any]]:
    """Return title, columns and rows of each table, for the template.

    Args:
        tables: tables of one protocol.
        models: names and styles of the potentials.
        labels: potential → its label in this protocol.
    """
    left, found = MAX_ALL_ROWS, []
    for given in tables:
        if not given.columns or not given.rows:
            continue
        table = _without_repeats(given)
        rows = table.rows[: min(MAX_ROWS, left)]
        left -= len(rows)
        # A column of text is as wide as its longest text, up to what is read with ease.
        lengths = [
            max((len(v) for row in rows if isinstance(v := row[k], str)), default=0)
            for k, _ in enumerate(table.columns)
        ]
        found.append(
            {
                "title": table.title,
                "note": table.note,
                "columns": [
                    {
                        "heading": c.heading,
                        "unit": c.unit,
                        "number": c.digits is not None,
                        "letters": min(lengths[k], READABLE),
                    }
                    for k, c in enumerate(table.columns)
                ],
                "rows": [
                    [
                        _cell(value, column.digits, models, labels)
                        for value, column in zip(row, table.columns, strict=True)
                    ]
                    for row in rows
                ],
                "total": len(table.rows),
                "cut": len(rows) < len(table.rows),
                "tall": len(rows) > TALL,
            }
        )
    return found


def _without_repeats(table: Table) -> Table:
    """Return a table without empty columns, and without rows of the group `all` that are equal to
    the row of another group."""
    others = [row[1:] for row in table.rows if row[0] != "all"]
    rows = [row for row in table.rows if row[0] != "all" or row[1:] not in others]
    full = [k for k, _ in enumerate(table.columns) if any(row[k] not in (None, "") for row in rows)]
    columns = [table.columns[k] for k in full]
    return replace(table, columns=columns, rows=[[row[k] for k in full] for row in rows])


def _cell(value: Any, digits: int | None, models: Models, labels: dict[str, str]) -> dict[str, Any]:
    """Return a cell: its text, the number to sort by, and the colour if it names a potential."""
    cell: dict[str, Any] = {"text": MISSING, "sort": None, "colour": None}
    if value is None:
        return cell
    if isinstance(value, bool):
        return cell | {"text": "yes" if value else "no"}
    if is_number(value):
        text = count(value) if isinstance(value, int) else number(value, digits or 4)
        return cell | {"text": text, "sort": repr(value)}
    text = str(value)
    if text in models.labels:
        colour = models.style(text).colour
        return cell | {"text": labels.get(text) or models.label(text), "colour": colour}
    return cell | {"text": text}
