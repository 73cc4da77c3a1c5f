"""`pestle models`: the list of foundation models, and the card of a fine-tuned model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import Json

#: Letters in a line from which all columns fit.
WIDE = 140


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
    from pestle.cli.output import width
    from pestle.progress import logger

    first, which, note = found.lines()
    typer.echo(f"{first}. {which}")
    if width() >= WIDE:
        tables, more = found.tables(), ""
    elif logger.isEnabledFor(logging.DEBUG):
        tables, more = found.narrow_tables(), ""
    else:
        tables, more = found.narrow_tables()[:1], " Architecture and size: --verbose."
    for table in tables:
        print_table(table)
    typer.echo(f"{note}{more}")
