"""`pestle study`: a study, and what there is to see of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pestle.cli.options import Commands, Json, Trust
from pestle.errors import PestleError, near_name


class _RunsByDefault(TyperGroup):
    """`pestle study STUDY.yaml` is short for `pestle study run STUDY.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            near = near_name(args[0], list(self.commands))
            if near and not Path(args[0]).exists():
                raise PestleError(
                    f"there is no command '{args[0]}'",
                    where="pestle study",
                    fix=f"Did you mean '{near}'?",
                )
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = Commands(
    cls=_RunsByDefault,
    no_args_is_help=True,
    help="A matrix of runs with their tests, here or on a cluster: `pestle study STUDY.yaml`, with "
    "the options of `pestle study run`.",
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="NAME=VALUE: a variable of the study (paths), or a setting of every run."
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the runs.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="AXIS=VALUE",
        help="Only the cells with this value: train.seed=0. Values of one axis are alternatives, "
        "and all axes must fit; can be repeated.",
    ),
]


@app.command("run")
def run(
    study: StudyPath,
    given: Given = None,
    out: Out = None,
    only: Only = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="local, or a Python file with a Parsl configuration called config (it is run).",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Commands at a time with local; by default: cores.", min=1),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Also do cells that failed.")] = False,
    trust: Trust = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only.")] = False,
    as_json: Json = False,
) -> None:
    """Do what is left of a study; finished cells are kept, interrupted ones go on."""
    from pestle.study.job import require_done, run_study

    state = run_study(
        study,
        given=given or (),
        out=out,
        only=only or (),
        engine=engine,
        workers=workers,
        retry=retry,
        trust=trust,
        dry_run=dry_run,
    )
    _show(state, as_json=as_json, every=dry_run)
    if dry_run and not as_json:
        every = dict.fromkeys(", ".join(list(one.cell.steps)[1:]) for one in state.cells)
        tests = "; or ".join(one or "none" for one in every)
        typer.echo(f"tests of each run: {tests}")
        typer.echo(f"folder: {state.folder}")
        if state.seconds_left is None:
            typer.echo("time: known once a first cell is finished")
    if not dry_run:
        require_done(state)


@app.command("status")
def status(
    study: StudyPath,
    given: Given = None,
    out: Out = None,
    only: Only = None,
    every: Annotated[bool, typer.Option("--all", help="List every cell.")] = False,
    as_json: Json = False,
) -> None:
    """Which cells are done, run, failed or wait, and about how much time is left."""
    from pestle.study.job import study_status

    state = study_status(study, given=given or (), out=out, only=only or ())
    _show(state, as_json=as_json, every=every)


@app.command("clean")
def clean(
    study: StudyPath,
    given: Given = None,
    out: Out = None,
    only: Only = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Remove failed runs, too: they begin anew.")
    ] = False,
    changed: Annotated[
        bool,
        typer.Option("--changed", help="Remove runs gone on with by hand with other settings."),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Remove all that the study has made.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove runs that the study no longer holds, and shared files that nothing needs any more."""
    from pestle.study.job import clean_study

    gone = clean_study(
        study,
        given=given or (),
        out=out,
        only=only or (),
        failed=failed,
        changed=changed,
        everything=everything,
        dry_run=dry_run,
    )
    for path in gone:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {path}")
    if not gone:
        typer.echo("nothing to remove")


def _show(state: Any, *, as_json: bool, every: bool) -> None:
    """Counts, what failed and why, and all cells where asked."""
    from pestle.cli.output import print_json
    from pestle.progress import duration
    from pestle.study.job import CHANGED, state_line
    from pestle.study.worker import Places

    if as_json:
        print_json(state.to_json(every=every))
        return
    if every:
        for one in state.cells:
            spent = f"  {duration(one.seconds)}" if one.seconds else ""
            step = f" ({one.step})" if one.step else ""
            typer.echo(f"{one.state:<12}{one.cell.name}{step}{spent}")
    typer.echo(state_line(state))
    changes = state.to_json()["changes"]
    for name, settings in changes.items():
        typer.echo(f"\nchanged: {name} ({', '.join(settings)})")
    if changes:
        typer.echo(f"  {CHANGED}")
    for one in state.of("failed"):
        typer.echo(f"\nfailed: {one.cell.name}, {one.step}")
        typer.echo("\n".join(f"  {line}" for line in one.last_lines))
        typer.echo(f"  log: {Places(state.folder, one.cell.name).log}")


@app.command("table")
def table(
    study: StudyPath,
    names: Annotated[list[str] | None, typer.Argument(help="Tables; by default all.")] = None,
    given: Given = None,
    out: Out = None,
    only: Only = None,
    page: Annotated[
        bool, typer.Option("--page", help="Also write study.html: all runs on one page.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tables of the runs that are finished: shown, and as CSV and LaTeX in the folder tables."""
    from pestle.cli.output import print_json
    from pestle.progress import conclude, loading_torch

    with loading_torch():
        from pestle.cli.gathered_table import print_gathered
        from pestle.study.show import study_page, study_tables

    chosen: dict[str, Any] = {"given": given or (), "out": out, "only": only or ()}
    found = study_tables(study, **chosen, names=names or ())
    if as_json:
        print_json({name: made.in_file() for name, made in found.items()})
    else:
        for name, made in found.items():
            typer.echo(f"\n{name}")
            print_gathered(made)
    if page:
        conclude(f"page: {study_page(study, **chosen, tables=found)}")


@app.command("plot")
def plot(
    study: StudyPath,
    names: Annotated[list[str] | None, typer.Argument(help="Plots; by default all.")] = None,
    given: Given = None,
    out: Out = None,
    only: Only = None,
) -> None:
    """Plots of the runs that are finished, with bands over seeds: SVG, PDF and CSV."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.study.show import study_plots

    for path in study_plots(study, given=given or (), out=out, only=only or (), names=names or ()):
        typer.echo(path)


@app.command("gather")
def gather(
    runs: Annotated[list[str], typer.Argument(help="Run folders, whatever made them.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="File for the table as CSV.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option("--latex", metavar="FILE", help="File for it as LaTeX.")
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Errors by config_type as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Any runs as one table: the settings that differ are columns, seeds make one row."""
    from pestle.cli.output import print_json
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.cli.gathered_table import print_gathered
        from pestle.jobs.report import gather as gather_runs

    found = gather_runs(runs, groups=groups, csv=csv, latex=latex)
    if as_json:
        print_json(found.to_json())
    else:
        print_gathered(found.table)
