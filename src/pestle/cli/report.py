"""`pestle report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import Json


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
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="DIR",
            help="Folder for each plot of the page as SVG and PDF, with its data as CSV.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="File for the table of the runs as CSV."),
    ] = None,
    latex: Annotated[
        Path | None,
        typer.Option("--latex", metavar="FILE", help="File for it as LaTeX (booktabs)."),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="In the table, errors by config_type as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The page of a run written anew, or several runs compared: a page and a table, in which runs
    that differ by their seed alone are one row."""
    from pestle.cli.output import print_json
    from pestle.progress import conclude, loading_torch, say

    with loading_torch():
        from pestle.jobs.report import COMPARISON, gather, report, require_results, write_figures

    tabled_runs = len(require_results(folders))
    tabled = tabled_runs > 1 or as_json or csv is not None or latex is not None
    found = gather(folders, groups=groups, csv=csv, latex=latex) if tabled else None
    target = out if out is not None else COMPARISON if tabled_runs > 1 else None
    again = " (written again)" if target is not None and target.exists() else ""
    page = report(folders, out)
    written = write_figures(folders, figures) if figures is not None else []
    if found is not None and as_json:
        print_json(found.to_json())
    elif found is not None:
        from pestle.cli.gathered_table import print_gathered

        print_gathered(found.table)
    conclude(f"report: {page}{again}")
    for name, file in (("csv", csv), ("latex", latex)):
        if file is not None:
            say(f"{name}: {file}")
    if figures is not None:
        plots = sum(path.suffix == ".pdf" for path in written)
        say(f"figures: {figures} ({plots} plots as .svg, .pdf and .csv; captions.md)")
