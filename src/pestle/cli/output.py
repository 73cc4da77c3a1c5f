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
    """Print one JSON document; numbers that are not finite become null."""
    typer.echo(json.dumps(finite(content), indent=2, ensure_ascii=False))


def print_table(table: Table | RichTable) -> None:
    """Print a table; its width is that of `width`."""
    Console(width=width()).print(table.rich() if isinstance(table, Table) else table)


def width() -> int:
    """Return the characters in a line: of the terminal, else the variable COLUMNS, else 160."""
    console = Console()
    return console.width if console.is_terminal else int(os.environ.get("COLUMNS") or 160)
