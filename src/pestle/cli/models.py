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
    from pestle.cli.output import print_json, print_table
    from pestle.jobs.catalogue import models

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
    found = models()
    if as_json:
        print_json(found.to_json())
        return
    for table in found.tables():
        print_table(table.rich())
    typer.echo(found.lines()[-1])
