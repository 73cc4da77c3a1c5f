"""Tables and JSON on standard output."""

from __future__ import annotations

import json
import os
from typing import Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from pestle.files import finite
from pestle.views import Table


def print_json(content: Any) -> None:
    """One JSON document."""
    typer.echo(json.dumps(finite(content), indent=2, ensure_ascii=False))


def print_table(table: Table | RichTable) -> None:
    """A table as wide as the terminal, or COLUMNS; long lines where there is neither."""
    Console(width=width()).print(table.rich() if isinstance(table, Table) else table)


def width() -> int:
    """Letters of a line: of the terminal, or COLUMNS, or many where there is neither."""
    console = Console()
    return console.width if console.is_terminal else int(os.environ.get("COLUMNS") or 160)
