"""`pestle label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import Device, Files, Head, Json, MaxEdges, Trust


def command(
    structures: Files,
    out: Annotated[Path, typer.Option("-o", "--out", help="Extended XYZ file to write (.xyz).")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Run folder, model folder, .model or .nqx file, or catalogue name.",
        ),
    ] = None,
    calculator: Annotated[
        str | None,
        typer.Option(
            "--calculator",
            metavar="MODULE:NAME",
            help="Label with an ASE calculator instead: NAME is a calculator, or a class or "
            "function that makes one without arguments. MODULE is imported, also from the current "
            "folder: this runs its code.",
        ),
    ] = None,
    head: Head = None,
    trust: Trust = False,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float64",
    device: Device = "auto",
    max_edges: MaxEdges = None,
    as_json: Json = False,
) -> None:
    """Label structures with a model or an ASE calculator; a stopped command continues."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.output import print_json
        from pestle.jobs.label import label

    result = label(
        structures,
        out,
        model=model,
        calculator=calculator,
        head=head,
        trust=trust,
        dtype=dtype,
        device=device,
        max_edges=max_edges,
    )
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo(result.lines()[0])
