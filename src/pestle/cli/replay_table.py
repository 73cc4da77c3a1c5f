"""A replay set on a terminal, for `pestle replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from pestle.wording import counted

if TYPE_CHECKING:
    from pestle.adaptation.replay import ReplaySet

_COLUMNS = {
    "read": "read",
    "isolated_atoms": "isolated\natoms",
    "broken": "broken",
    "unknown_elements": "unknown\nelements",
    "unlabelled": "without\nlabel",
    "matched": "match",
    "selected": "selected",
}
# Columns that are left out if they are 0 for every pool.
_OPTIONAL = {"isolated_atoms", "broken", "unknown_elements", "unlabelled"}


def pool_table(made: ReplaySet) -> Table:
    """Return a table with one row per pool: its number of structures after every step.

    Args:
        made: the replay set.
    """
    rows = made.to_json()["pools"]
    shown = [name for name in _COLUMNS if name not in _OPTIONAL or any(r[name] for r in rows)]
    table = Table(title="replay set (structures)", title_justify="left")
    table.add_column("pool")
    for name in shown:
        table.add_column(_COLUMNS[name], justify="right")
    for row in rows:
        table.add_row(row["pool"], *(str(row[name]) for name in shown))
    if len(rows) > 1:
        table.add_row("all", *(str(sum(row[name] for row in rows)) for name in shown))
    return table


def replay_lines(made: ReplaySet) -> list[str]:
    """Return lines on the elements of the set, how it was made, and warnings.

    Args:
        made: the replay set.
    """
    content = made.to_json()
    lines = [
        f"elements of {row['pool']}: {_counts(row['structures_by_element'])}"
        for row in content["pools"]
        if row["selected"]
    ]
    if len(lines) > 1:
        lines.append(f"elements of all: {_counts(content['structures_by_element'])}")
    lines += [f"labels: {content['labelled']} of {counted(content['count'], 'structure')}", ""]
    return lines + made.notes + [f"warning: {text}" for text in made.warnings]


def _counts(by_element: dict[str, int]) -> str:
    """Return the number of structures with each element: `H 12, C 8`."""
    return ", ".join(f"{symbol} {n}" for symbol, n in by_element.items())
