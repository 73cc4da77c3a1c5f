"""`pestle qualify`."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from pestle.cli.options import (
    Against,
    Also,
    Device,
    Dtype,
    Elements,
    Head,
    Json,
    Out,
    Potential,
    Scope,
    Thresholds,
    Trust,
)


def command(
    model: Potential,
    against: Against = None,
    scope: Scope = None,
    also: Also = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", "-d", help="Held-out labelled frames; by default those of the run."),
    ] = None,
    structures: Annotated[
        list[str] | None,
        typer.Option(help="What dynamics starts from; by default the held-out frames."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="Reaction path: reactant first, product last; several times."),
    ] = None,
    torsions: Annotated[list[str] | None, typer.Option(help="Labelled scans.")] = None,
    broad: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled frames like those the foundation was trained on, for forgetting; by "
            "default generated ones that the foundation labels."
        ),
    ] = None,
    elements: Elements = None,
    run_too: Annotated[
        list[str] | None, typer.Option("--with", help="A protocol that the scope does not need.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option("--without", help="A protocol to leave out.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The full settings instead of those of a first look.")
    ] = False,
    head: Head = None,
    trust: Trust = False,
    dtype: Dtype = "float64",
    device: Device = "auto",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: md.time=100.")
    ] = None,
    thresholds: Thresholds = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Whether a model is fit for its use: the tests that its scope needs, verdict, report."""
    from pestle.cli.output import print_json
    from pestle.cli.verdict import print_verdict
    from pestle.jobs.qualify import qualify
    from pestle.settings.probe import ProbeSettings
    from pestle.settings.run_file import parse_overrides

    result = qualify(
        model,
        against=against,
        scope=scope,
        also=also or [],
        data=data or [],
        structures=structures or [],
        path=path or [],
        torsions=torsions or [],
        broad=broad or [],
        elements=[symbol.strip() for symbol in elements.split(",")] if elements else [],
        run_too=run_too or [],
        leave_out=leave_out or [],
        full=full,
        head=head,
        trust=trust,
        dtype=dtype,
        device=device,
        settings=parse_overrides(overrides or [], ProbeSettings),
        thresholds=thresholds,
        out=out,
        command=shlex.join(["pestle", *sys.argv[1:]]),
    )
    if as_json:
        print_json(result)
        return
    print_verdict(result)
