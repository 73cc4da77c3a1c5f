"""`pestle e0`."""

from __future__ import annotations

from typing import Annotated

import typer

from pestle.cli.options import (
    Data,
    DataArgument,
    EnergyKey,
    FoundationOption,
    Head,
    Json,
    Select,
    Trust,
    named_files,
)


def command(
    files: DataArgument = None,
    data: Data = None,
    foundation: FoundationOption = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="auto, isolated, reestimate, average, foundation, a table {1:-13.6,8:-2043.9} or "
            "{H: -13.6, O: -2043.9} in eV, or a JSON or YAML file with such a table.",
        ),
    ] = "auto",
    head: Head = None,
    trust: Trust = False,
    energy_key: EnergyKey = None,
    select: Select = None,
    as_json: Json = False,
) -> None:
    """Find atomic reference energies (E0s) of the data and compare the methods for it."""
    data = named_files(files, data)
    from pestle.foundations import require_name
    from pestle.progress import loading_torch

    if foundation is not None:
        require_name(foundation)
    with loading_torch():
        from pestle.cli.output import print_json
        from pestle.jobs.e0 import e0
        from pestle.structures.reading import LabelKeys

    keys = LabelKeys(energy=energy_key)
    result = e0(
        data,
        foundation=foundation,
        method=method,
        head=head,
        trust=trust,
        keys=keys,
        select=select or [],
    )
    if as_json:
        print_json(result.to_json())
        return

    from pestle.cli.output import print_table

    for table in result.tables():
        print_table(table)
    typer.echo("\n".join(result.lines()))
