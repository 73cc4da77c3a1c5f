"""`pestle report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    folders: Annotated[
        list[str], typer.Argument(help="Run folders, or folders that qualify wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write; by default report.html in the folder, or comparison.html.",
        ),
    ] = None,
) -> None:
    """The page of a run written anew, or several runs compared on one page."""
    from pestle.jobs.report import write_report
    from pestle.progress import say

    say(f"report: {write_report(folders, out)}")
