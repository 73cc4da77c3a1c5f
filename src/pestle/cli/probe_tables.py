"""How a terminal shows tables and findings of protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from pestle.protocols.results import Table as Content
from pestle.records.verdict import Finding, NotTested
from pestle.views import figure

_STYLES = {"pass": "green", "concern": "yellow", "fail": "red"}


def rich_table(content: Content, labels: Mapping[str, str]) -> Table:
    """A table of a protocol; `labels`: potential → what a reader is told. Empty columns, of which
    narrow terminals have no room for any, are left out."""
    table = Table(title=content.title, title_justify="left", caption=content.note or None)
    filled = [
        k
        for k in range(len(content.columns))
        if any(row[k] not in (None, "") for row in content.rows)
    ]
    columns = [content.columns[k] for k in filled]
    for column in columns:
        heading = f"{column.heading}\n{column.unit}" if column.unit else column.heading
        table.add_column(heading, justify="left" if column.digits is None else "right")
    for row in content.rows:
        cells = [
            _cell(row[k], column.digits, labels) for k, column in zip(filled, columns, strict=True)
        ]
        table.add_row(*cells)
    return table


def _cell(value: Any, digits: int | None, labels: Mapping[str, str]) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool) or digits is None or isinstance(value, str):
        return labels.get(str(value), str(value))
    return str(value) if isinstance(value, int) else figure(float(value), digits)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Findings with their level first and the threshold below."""
    table = Table(title="findings", title_justify="left", box=box.SIMPLE)
    for heading in ("level", "protocol", "finding"):
        table.add_column(heading, no_wrap=heading != "finding")
    for found in findings:
        level = Text(found.level.upper(), style=_STYLES[found.level])
        sentence = Text(found.sentence)
        sentence.append(f"\n{found.limit}", style="dim")
        table.add_row(level, found.protocol, sentence)
    if not findings:
        table.add_row("—", "", "Nothing could be judged: there is no label or reference for it.")
    return table


def not_tested_table(entries: Sequence[NotTested]) -> Table:
    """What was not tested, why, and how it would be."""
    table = Table(title="not tested", title_justify="left", box=box.SIMPLE)
    for heading in ("protocol", "needed", "why", "how"):
        table.add_column(heading)
    for entry in entries:
        needed = "yes" if entry.needed else "no"
        table.add_row(entry.protocol, needed, entry.why, entry.how)
    return table
