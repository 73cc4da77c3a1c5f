"""Tables and findings of protocols on a terminal."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from pestle.progress import logger
from pestle.protocols.results import Table as Content
from pestle.records.verdict import Finding, NotTested
from pestle.views import figure

_STYLES = {"pass": "green", "concern": "yellow", "fail": "red"}


def rich_table(content: Content, labels: Mapping[str, str]) -> Table:
    """Return a table of a protocol without its empty columns, to save width.

    Args:
        content: the table; its columns have the units.
        labels: name of a potential → name that a reader sees.
    """
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
    """Return a value as text: a number with its significant digits, a potential by its label."""
    if value is None:
        return "—"
    if isinstance(value, bool) or digits is None or isinstance(value, str):
        return labels.get(str(value), str(value))
    return str(value) if isinstance(value, int) else figure(float(value), digits)


def findings_table(findings: Sequence[Finding], title: str = "findings") -> Table:
    """Return findings as a table: level, protocol, and sentence with threshold.

    Findings that passed share one line, except with `--verbose`.

    Args:
        findings: the findings in their order.
        title: the title of the table.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for heading in ("level", "protocol", "finding"):
        table.add_column(heading, no_wrap=heading != "finding")
    everything = logger.isEnabledFor(logging.DEBUG)
    passed = Counter(found.protocol for found in findings if found.level == "pass")
    for found in findings:
        if found.level == "pass" and not everything:
            continue
        level = Text(found.level.upper(), style=_STYLES[found.level])
        sentence = Text(found.sentence)
        sentence.append(f"  [{found.limit}]", style="dim")
        table.add_row(level, found.protocol, sentence)
    if passed and not everything:
        names = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in passed.items())
        table.add_row(Text("PASS", style=_STYLES["pass"]), "", f"{names}; each: --verbose")
    if not findings:
        table.add_row("—", "", "Nothing could be judged: there is no label or reference for it.")
    return table


def not_tested_table(entries: Sequence[NotTested]) -> Table:
    """Return a table of what was not tested: protocol, whether it is needed, why, how to do it.

    Args:
        entries: protocols that did not run.
    """
    table = Table(title="not tested", title_justify="left", box=box.SIMPLE)
    for heading in ("protocol", "needed", "why", "how"):
        table.add_column(heading)
    for entry in entries:
        needed = "yes" if entry.needed else "no"
        table.add_row(entry.protocol, needed, entry.why, entry.how)
    return table
