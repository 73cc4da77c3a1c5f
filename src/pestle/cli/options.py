"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load .model files: they are pickles and can run their author's code. Needed once "
        "for a file.",
    ),
]
Head = Annotated[
    str | None, typer.Option("--head", help="Head of the model, where it has several.")
]
FoundationOption = Annotated[
    str | None,
    typer.Option("--foundation", "-f", help="Catalogue name, model folder, .nqx or .model file."),
]
EnergyKey = Annotated[str | None, typer.Option(help="Key of the total energy (eV).")]
ForcesKey = Annotated[str | None, typer.Option(help="Key of the forces (eV/Å).")]
StressKey = Annotated[str | None, typer.Option(help="Key of the stress (eV/Å³, ASE's sign).")]
VirialsKey = Annotated[str | None, typer.Option(help="Key of the virials (eV).")]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        help="Use only frames with KEY=VALUE (head=pbe, charge=0); several times. all: they are of "
        "one surface, whatever the files say.",
    ),
]
SubtractDispersion = Annotated[
    str | None,
    typer.Option(
        "--subtract-dispersion",
        help="Functional (pbe; pbe-d3(zero)) whose D3 correction is taken from the labels first.",
    ),
]
Files = Annotated[list[str], typer.Argument(help="Structure files or globs.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write.")]
Scope = Annotated[
    str | None,
    typer.Option(help="narrow: configurations like those of the data. broad: also others."),
]
MaxEdges = Annotated[
    int | None, typer.Option(help="Edges in a batch at most; bounds the memory.", min=1)
]
Against = Annotated[str | None, typer.Option("--against", help="The foundation to compare with.")]
Also = Annotated[
    list[str] | None, typer.Option("--also", help="A further model to compare; several times.")
]
Elements = Annotated[
    str | None, typer.Option("--elements", help="Chemical symbols, H,C,O: instead of the data's.")
]
Thresholds = Annotated[
    Path | None,
    typer.Option("--thresholds", help="YAML file that changes thresholds of the verdict."),
]
Potential = Annotated[
    str,
    typer.Argument(
        help="Run folder, model folder, .model or .nqx file, catalogue name, or "
        "calculator:MODULE:NAME of an ASE calculator (MODULE is imported)."
    ),
]
Dtype = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
