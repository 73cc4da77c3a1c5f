"""`pestle evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from pestle.cli.options import (
    Data,
    DataArgument,
    Device,
    EnergyKey,
    ForcesKey,
    FoundationOption,
    Head,
    Json,
    MaxEdges,
    Out,
    Select,
    StressKey,
    SubtractDispersion,
    Trust,
    VirialsKey,
    named_files,
)


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="Run folder, model folder, .model or .nqx file, catalogue name or "
            "adapter.safetensors."
        ),
    ],
    files: DataArgument = None,
    data: Data = None,
    foundation: FoundationOption = None,
    head: Head = None,
    trust: Trust = False,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virials_key: VirialsKey = None,
    select: Select = None,
    subtract_dispersion: SubtractDispersion = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    device: Device = "auto",
    max_edges: MaxEdges = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Calculate the errors of a model on labelled structures, by config_type."""
    from pestle.foundations import require_name
    from pestle.progress import loading_torch

    require_name(model)
    with loading_torch():
        from pestle.cli.output import print_json, print_table
        from pestle.jobs.evaluate import evaluate
        from pestle.structures.reading import LabelKeys

    found = evaluate(
        model,
        named_files(files, data),
        foundation=foundation,
        head=head,
        trust=trust,
        keys=LabelKeys(energy_key, forces_key, stress_key, virials_key),
        select=select or [],
        subtract_dispersion=subtract_dispersion,
        dtype=dtype,
        device=device,
        max_edges=max_edges,
        out=out,
    )
    if as_json:
        print_json(found.to_json())
    else:
        for table in found.tables():
            print_table(table)
