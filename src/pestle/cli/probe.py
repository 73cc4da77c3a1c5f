"""`pestle probe`."""

from __future__ import annotations

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
    Thresholds,
    Trust,
    asked_of,
    with_options,
)
from pestle.jobs.qualify_request import REQUEST
from pestle.protocols import names

OPTIONS = {
    "protocol": Annotated[str, typer.Argument(help=f"{', '.join(names()[:-1])} or {names()[-1]}.")],
    "model": Potential,
    "against": Against,
    "also": Also,
    "data": Annotated[
        list[str] | None,
        typer.Option(
            "--data", "-d", help="Structures: files or globs, or NAME=FILES; can be repeated."
        ),
    ],
    "elements": Elements,
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
def command(protocol: str, as_json: bool, **typed: Any) -> None:
    """Run one physical test of a model; raw results are kept and reused."""
    from pestle.progress import conclude, loading_torch

    with loading_torch():
        from pestle.cli.output import print_json, print_table
        from pestle.cli.probe_tables import findings_table, rich_table
        from pestle.jobs.probe import probe

    found = probe(protocol, **asked_of(typed))
    if as_json:
        print_json(found.to_json())
        return
    for table in found.protocol.tables(found.measured):
        print_table(rich_table(table, found.to_json()["labels"]))
    print_table(findings_table(found.findings))
    conclude(f"results: {found.folder}")
