"""`pestle demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import Json


def command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path(
        "pestle-demo"
    ),
    as_json: Json = False,
) -> None:
    """The whole way in minutes, offline: fine-tune, evaluate, report, on embedded real data."""
    from pestle.cli.output import error_table, number, print_json, print_table
    from pestle.demo.run import run_demo
    from pestle.progress import say

    result = run_demo(out)
    if as_json:
        print_json(result)
        return
    print_table(error_table("the test frames", result["errors"]["test"]))
    for row in result["path"]["summary"]:
        say(
            f"{row['model']:<12} barrier {number(row['barrier_ev'], 3)} eV, "
            f"reaction energy {number(row['reaction_energy_ev'], 3)} eV, "
            f"RMSE along the path {number(row['rmse_mev'], 3)} meV"
        )
    say(f"report: {result['report']}")
