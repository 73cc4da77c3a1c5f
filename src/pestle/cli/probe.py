"""`pestle probe`."""

from __future__ import annotations

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
    Thresholds,
    Trust,
)


def command(
    protocol: Annotated[
        str,
        typer.Argument(help="errors, forgetting, atoms, dimers, rss, md, rdf, neb or torsion."),
    ],
    model: Potential,
    against: Against = None,
    also: Also = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", "-d", help="Structures: files or globs, or NAME=FILES; several times."
        ),
    ] = None,
    elements: Elements = None,
    head: Head = None,
    trust: Trust = False,
    dtype: Dtype = "float64",
    device: Device = "auto",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: dimers.points=50.")
    ] = None,
    thresholds: Thresholds = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """One physical test of a model; raw results are kept and reused."""
    from pestle.cli.output import print_json, print_table
    from pestle.cli.probe_tables import findings_table, rich_table
    from pestle.jobs.probe import probe
    from pestle.progress import say
    from pestle.settings.probe import ProbeSettings
    from pestle.settings.run_file import parse_overrides

    found = probe(
        protocol,
        model,
        against=against,
        also=also or [],
        data=data or [],
        elements=[symbol.strip() for symbol in elements.split(",")] if elements else [],
        head=head,
        trust=trust,
        dtype=dtype,
        device=device,
        settings=parse_overrides(overrides or [], ProbeSettings),
        thresholds=thresholds,
        out=out,
    )
    if as_json:
        print_json(found.to_json())
        return
    for table in found.protocol.tables(found.measured):
        print_table(rich_table(table, found.to_json()["labels"]))
    print_table(findings_table(found.findings))
    say(f"results: {found.folder}")
