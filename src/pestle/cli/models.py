"""`pestle models`: the foundation models that can be named."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pestle.foundations import catalogue


def models_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the table as JSON, for other programs.")
    ] = False,
) -> None:
    """List foundation models: licence, level of theory, elements, size, whether cached."""
    rows = catalogue.rows()
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(title="Foundation models")
    for heading in ("name", "licence", "level of theory", "elements", "parameters", "cached"):
        table.add_column(heading, no_wrap=heading == "name")
    for row in rows:
        table.add_row(
            row["name"],
            row["licence"],
            row["level_of_theory"],
            row["elements"],
            row["parameters"],
            "yes" if row["cached"] else "no",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{catalogue.ASL}: no commercial use (https://github.com/gabor1/ASL). "
        "'?': not published with the model.",
        soft_wrap=True,
    )
