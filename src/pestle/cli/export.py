"""`pestle export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import FoundationOption, Head, Json, Trust
from pestle.wording import counted


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="Run folder, model folder, .model or .nqx file, catalogue name or "
            "adapter.safetensors."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="ase (the file for the architecture's own calculator: .model for MACECalculator, "
            ".nqx for Nequix), lammps (all files for LAMMPS: ML-IAP and TorchScript for a MACE "
            "model), or lammps-FORMAT for one of these.",
        ),
    ],
    foundation: FoundationOption = None,
    head: Head = None,
    all_heads: Annotated[
        bool,
        typer.Option("--all-heads", help="Keep the other heads in the file for ASE, Default last."),
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64; by default the model's.")
    ] = None,
    dispersion: Annotated[
        str | None,
        typer.Option(
            help="Functional of the D3 correction to add to the model (pbe; pbe-d3(zero)), or "
            "removed: the correction that was taken from its training labels."
        ),
    ] = None,
    trust: Trust = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder to write to, or a file with the ending of the format; by default the "
            "folder export beside the model.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model as files for ASE or LAMMPS; nothing is overwritten."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.output import print_json
        from pestle.jobs.export import export

    result = export(
        model,
        to=to,
        foundation=foundation,
        head=head,
        all_heads=all_heads,
        dtype=dtype,
        dispersion=dispersion,
        trust=trust,
        out=out,
    )
    if as_json:
        print_json(result.to_json())
        return
    what = f"{result.dtype}, {counted(len(result.elements), 'element')}, head {result.head}"
    if len(result.heads) > 1:
        what += f" (heads in the file: {', '.join(result.heads)})"
    for kind, path in result.files.items():
        typer.echo(f"wrote {path}: {what}")
        if kind in result.sha256:
            typer.echo(f"  SHA-256 {result.sha256[kind]}, also in {Path(path).name}.sha256")
    for note in result.notes:
        typer.echo(f"note: {note}")
