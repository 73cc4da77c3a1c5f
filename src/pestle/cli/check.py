"""`pestle check`."""

from __future__ import annotations

from typing import Annotated

import typer

from pestle.cli.options import (
    Data,
    DataArgument,
    EnergyKey,
    ForcesKey,
    FoundationOption,
    Head,
    Json,
    Select,
    StressKey,
    SubtractDispersion,
    Trust,
    VirialsKey,
    named_files,
)


def command(
    files: DataArgument = None,
    data: Data = None,
    valid: Annotated[list[str] | None, typer.Option("--valid", help="Validation files.")] = None,
    test: Annotated[list[str] | None, typer.Option("--test", help="Test files.")] = None,
    foundation: FoundationOption = None,
    head: Head = None,
    trust: Trust = False,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virials_key: VirialsKey = None,
    select: Select = None,
    dispersion: Annotated[
        str, typer.Option(help="Whether the labels include dispersion: included, none or unknown.")
    ] = "unknown",
    subtract_dispersion: SubtractDispersion = None,
    as_json: Json = False,
) -> None:
    """Check the data: what it contains, what is wrong with it, and what follows for a run."""
    from pestle.foundations import require_name
    from pestle.progress import loading_torch

    if foundation is not None:
        require_name(foundation)
        with loading_torch():
            import torch  # noqa: F401  (data alone are checked without it)

    from pestle.cli.output import print_json
    from pestle.jobs.check import check
    from pestle.structures.reading import LabelKeys

    report = check(
        named_files(files, data),
        valid=valid or [],
        test=test or [],
        foundation=foundation,
        head=head,
        trust=trust,
        keys=LabelKeys(energy_key, forces_key, stress_key, virials_key),
        select=select or [],
        dispersion=dispersion,
        subtract_dispersion=subtract_dispersion,
    )
    if as_json:
        print_json(report.to_json())
    else:
        from pestle.jobs.check import check_lines

        typer.echo("\n".join(check_lines(report)))
    if report.errors:
        raise typer.Exit(2)
