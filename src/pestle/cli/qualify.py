"""`pestle qualify`."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Any

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
    ProbeSet,
    Scope,
    Thresholds,
    Trust,
    asked_of,
    with_options,
)
from pestle.jobs.qualify_request import REQUEST
from pestle.protocols import inputs

OPTIONS = {
    "model": Potential,
    "against": Against,
    "scope": Scope,
    "also": Also,
    **{
        taken.name: Annotated[list[str] | None, typer.Option(*taken.options, help=taken.help)]
        for taken in inputs()
    },
    "elements": Elements,
    "run_too": Annotated[
        list[str] | None, typer.Option("--with", help="A protocol that the scope does not need.")
    ],
    "leave_out": Annotated[
        list[str] | None, typer.Option("--without", help="A protocol to leave out.")
    ],
    "full": Annotated[
        bool, typer.Option("--full", help="The full settings instead of those of a first look.")
    ],
    "head": Head,
    "trust": Trust,
    "dtype": Dtype,
    "device": Device,
    "settings": ProbeSet,
    "thresholds": Thresholds,
    "out": Out,
    "as_json": Json,
}


@with_options(OPTIONS, REQUEST)
def command(as_json: bool, **typed: Any) -> None:
    """Test whether a model is fit for its use: tests that its scope needs, verdict, report."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.output import print_json
        from pestle.cli.verdict import print_verdict
        from pestle.jobs.qualify import qualify

    result = qualify(**asked_of(typed), command=shlex.join(["pestle", *sys.argv[1:]]))
    if as_json:
        print_json(result.to_json())
        return
    print_verdict(result)
