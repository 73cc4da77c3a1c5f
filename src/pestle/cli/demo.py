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
    """Fine-tune, judge and report on embedded real data, in minutes and offline."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.output import print_json
        from pestle.cli.verdict import print_verdict
        from pestle.demo.run import run_demo

    result = run_demo(out)
    if as_json:
        print_json(result.to_json())
        return
    print_verdict(result)
