"""`pestle trust`."""

from __future__ import annotations

from typing import Annotated

import typer

from pestle.cli.options import Json


def command(
    file: Annotated[
        str, typer.Argument(help="A .model file, whose author's code is run once to read it.")
    ],
    as_json: Json = False,
) -> None:
    """Trust a pickled model once: it, and what is made from it, need no flag from then on."""
    from pestle.cli.output import print_json
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.jobs.trust import trust

    found = trust(file)
    if as_json:
        print_json(found.to_json())
        return
    when = "trusted before" if found.known else "trusted from now on"
    typer.echo(f"{file}: {when}, on this machine and by its SHA-256 {found.sha256}")
    typer.echo(f"safe form: {found.folder}")
