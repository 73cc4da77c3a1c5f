"""`pestle replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import (
    EnergyKey,
    ForcesKey,
    FoundationOption,
    Head,
    Json,
    StressKey,
    Trust,
    VirialsKey,
)


def command(
    pool: Annotated[
        list[str],
        typer.Option(
            "--pool",
            "-p",
            help="Files or globs, a published set (mp, omat, matpes_pbe, matpes_r2scan), or "
            "generated. Several pools are joined.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Extended XYZ file to write.")],
    data: Annotated[
        list[str] | None, typer.Option("--data", "-d", help="Data whose elements are matched.")
    ] = None,
    foundation: FoundationOption = None,
    head: Head = None,
    trust: Trust = False,
    count: Annotated[
        int | None,
        typer.Option(
            "--count", "-n", help="Structures to select: 1000 or all of a smaller pool by default."
        ),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(
            help="element (only elements of the data), exclusive (exactly all of these), inclusive "
            "(at least all of these), none; mace calls element combinations. Default: none for a "
            "broad scope, else element.",
        ),
    ] = None,
    select: Annotated[
        str,
        typer.Option(
            help="random, fps or fps-per-edge (need --foundation), element-balanced or all."
        ),
    ] = "random",
    seed: Annotated[int, typer.Option(help="Seed of generator and selection.", min=0)] = 0,
    scope: Annotated[
        str | None, typer.Option(help="What the model is for: narrow or broad.")
    ] = None,
    labelled: Annotated[
        bool,
        typer.Option(
            "--labelled",
            help="Keep labelled structures only (for multihead), and compare their labels with "
            "the foundation's predictions.",
        ),
    ] = False,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virials_key: VirialsKey = None,
    as_json: Json = False,
) -> None:
    """Make a replay set: select broad structures that match the elements of the data."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.output import print_json, print_table
        from pestle.jobs.replay import replay
        from pestle.structures.reading import LabelKeys

    made = replay(
        pool,
        data or [],
        out=out,
        foundation=foundation,
        head=head,
        trust=trust,
        count=count,
        filter=filter,
        select=select,
        seed=seed,
        scope=scope,  # type: ignore[arg-type]  # the job refuses anything else
        labelled=labelled,
        keys=LabelKeys(energy_key, forces_key, stress_key, virials_key),
    )
    if as_json:
        print_json({"file": str(out), **made.to_json()})
        return

    from pestle.cli.replay_table import pool_table, replay_lines

    print_table(pool_table(made))
    typer.echo("\n".join([*replay_lines(made), f"written: {out}"]))
