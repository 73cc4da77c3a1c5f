"""`pestle probe`."""

from __future__ import annotations

from typing import Annotated

import typer

from pestle.cli.options import Head, Json, Out, Trust


def command(
    protocol: Annotated[str, typer.Argument(help="atoms or dimers.")],
    model: Annotated[
        str,
        typer.Argument(
            help="Run folder, model folder, .model or .nqx file, catalogue name, or "
            "calculator:MODULE:NAME of an ASE calculator (MODULE is imported)."
        ),
    ],
    against: Annotated[
        list[str] | None, typer.Option("--against", help="Model to compare with; several times.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", "-d", help="Reference structures: files or globs.")
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="Chemical symbols, H,C,O: instead of the data's.")
    ] = None,
    head: Head = None,
    trust: Trust = False,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float64",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: dimers.points=50.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """One physical test of a model; raw results are kept and reused."""
    from pestle.cli.output import print_json, print_table
    from pestle.cli.probe_tables import probe_table
    from pestle.jobs.probe import probe
    from pestle.progress import say
    from pestle.run_file import parse_overrides
    from pestle.settings import ProbeSettings

    metrics = probe(
        protocol,
        model,
        against=against or [],
        data=data or [],
        elements=[symbol.strip() for symbol in elements.split(",")] if elements else [],
        head=head,
        trust=trust,
        dtype=dtype,
        device=device,
        settings=parse_overrides(overrides or [], ProbeSettings),
        out=out,
    )
    if as_json:
        print_json(metrics)
        return
    print_table(probe_table(metrics))
    say(f"results: {metrics['out']}")
