"""`pestle models`: the list of foundation models, and the card of a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import Json


def command(
    model: Annotated[
        Path | None,
        typer.Argument(help="A run or model folder: print the card of its model, not the list."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List foundation models: licence, level of theory, elements, size, whether cached."""
    from rich.table import Table

    from pestle.cli.output import print_json, print_table
    from pestle.foundations import catalogue

    if model is not None:
        from pestle.progress import loading_torch

        with loading_torch():
            from pestle.jobs.models import read_card

        card = read_card(model)
        if as_json:
            print_json(card.to_json())
        else:
            typer.echo("\n".join(card.lines()))
        return
    rows = catalogue.rows()
    if as_json:
        print_json(rows)
        return
    table = Table(title="Foundation models", title_justify="left")
    headings = ("name", "architecture", "licence", "level of theory", "elements")
    for heading in (*headings, "parameters", "cached"):
        table.add_column(heading, no_wrap=heading == "name")
    for row in rows:
        cells = [row[heading.replace(" ", "_")] for heading in headings]
        table.add_row(*cells, row["parameters"], "yes" if row["cached"] else "no")
    print_table(table)
    typer.echo(
        f"{catalogue.ASL}: see https://github.com/gabor1/ASL. '?': not published with the model."
    )
