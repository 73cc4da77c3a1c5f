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
    console = Console()
    if not console.is_terminal:
        console = Console(width=int(os.environ.get("COLUMNS") or 160))
    console.print(table.rich() if isinstance(table, Table) else table)
