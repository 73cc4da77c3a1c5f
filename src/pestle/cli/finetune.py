"""`pestle finetune`."""

from __future__ import annotations

import logging
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pestle.adaptation import AUTO, IN_WORDS, METHODS, require_method
from pestle.cli import completion
from pestle.cli.options import (
    Data,
    EnergyKey,
    ForcesKey,
    FoundationOption,
    Head,
    Json,
    Scope,
    Select,
    StressKey,
    Trust,
    VirialsKey,
)

if TYPE_CHECKING:
    from pestle.settings.run import RunSettings

#: Text below the options of `--help`. The mark in front keeps the line breaks.
METHODS_IN_WORDS = "\b\nMethods:\n" + "\n".join(
    textwrap.fill(f"  {name:18}{words}", 78, subsequent_indent=" " * 20)
    for name, words in IN_WORDS.items()
)


def command(
    run_file: Annotated[
        Path | None, typer.Argument(help="A run file (YAML; see `pestle init`).")
    ] = None,
    foundation: FoundationOption = None,
    data: Data = None,
    valid: Annotated[list[str] | None, typer.Option("--valid", help="Validation files.")] = None,
    test: Annotated[list[str] | None, typer.Option("--test", help="Test files.")] = None,
    select: Select = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help=f"{', '.join(METHODS)}, or {AUTO} (with --scope).",
            autocompletion=completion.methods,
        ),
    ] = None,
    scope: Scope = None,
    head: Head = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virials_key: VirialsKey = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Short for --set train.epochs=N.")
    ] = None,
    lr: Annotated[str | None, typer.Option("--lr", help="Short for --set train.lr=RATE.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Short for --set train.seed=N.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Short for --set train.device=NAME.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            help="Train this many members, the first with --seed, in OUT/seed-0, OUT/seed-1, …; "
            "typed again, the command continues.",
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--continue",
            help="Run to continue: start from its model, train on its frames and those of --data.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Run folder; by default runs/NAME.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE of any setting, one or several: train.lr=1e-4 train.epochs=50.",
            autocompletion=completion.settings,
        ),
    ] = None,
    trust: Trust = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the stopped run in the run folder.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Do everything up to the first update and print the plan. Writes no run folder; "
            "pseudolabels that had to be made are kept.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a foundation model on labelled structures and judge the result."""
    from pestle.adaptation.choice import require_scope
    from pestle.cli.output import print_json, print_table
    from pestle.errors import PestleError
    from pestle.foundations import require_name
    from pestle.records.folder import RunFolder
    from pestle.settings.run import walk
    from pestle.settings.run_file import (
        NO_SETTINGS,
        build,
        parse_overrides,
        read_run_file,
        unknown_name_error,
    )

    short = {"epochs": epochs, "lr": lr, "seed": seed, "device": device}
    in_short = [f"train.{name}={value}" for name, value in short.items() if value is not None]
    asked = parse_overrides([*in_short, *(overrides or [])])
    for name, value in (
        ("foundation", foundation),
        ("head", head),
        ("method", method),
        ("scope", scope),
        ("parent.run", parent),
        ("data.train", data),
        ("data.valid", valid),
        ("data.test", test),
        ("data.energy_key", energy_key),
        ("data.forces_key", forces_key),
        ("data.stress_key", stress_key),
        ("data.virials_key", virials_key),
        ("data.select", select),
    ):
        if value:
            asked[name] = value
    tree = read_run_file(run_file) if run_file else {}
    for name in tree:
        if name not in {*NO_SETTINGS, *(n.split(".")[0] for n, _ in walk())}:
            raise unknown_name_error(str(name))
    if resume and seeds is not None:
        raise PestleError(
            "members go on when the command is typed again",
            where="--resume",
            fix="Leave out --resume; or resume one member: --resume -o OUT/seed-0.",
        )
    if run_file:
        from pestle.jobs.run_paths import from_file

        tree = from_file(tree, run_file.parent)
    if resume:
        if out is None:
            raise PestleError("--resume needs -o RUN_DIR: the run folder to go on with")
        RunFolder(out).require_run()
        if tree:
            raise PestleError(
                "a resumed run takes its settings from the run folder",
                where=str(run_file),
                fix=f"Type `pestle finetune --resume -o {shlex.quote(str(out))}`.",
            )
    else:
        settings: RunSettings = build(tree, asked, where=str(run_file) if run_file else "settings")

        if settings.foundation:
            require_name(settings.foundation)
        require_method(settings)
        if settings.method == AUTO:
            require_scope(settings.scope)
        if out is not None and seeds is None and not dry_run:
            RunFolder(out).require_new()

    from pestle.progress import loading_torch, logger, say

    with loading_torch():
        from pestle.jobs.finetune.job import finetune
        from pestle.jobs.finetune.plan import plan_lines, short_plan
        from pestle.jobs.finetune.resuming import resume_settings
        from pestle.metrics import compact_error_table
        from pestle.records.manifest import Manifest

    if resume:
        assert out is not None
        settings = resume_settings(out, asked)
    if out is None and settings.parent.run is not None:
        folder = Path(settings.parent.run).expanduser().absolute()
        out = folder.with_name(f"{folder.name}-continued")
    name = Path(settings.foundation).stem or "run"
    out = out or Path("runs") / f"{name}-{settings.method}"
    text = shlex.join(["pestle", *sys.argv[1:]])

    def show(manifest: Manifest) -> None:
        if dry_run:
            if as_json:
                print_json(manifest.to_json())
            else:
                everything = logger.isEnabledFor(logging.DEBUG)
                typer.echo("\n".join((plan_lines if everything else short_plan)(manifest)))
                more = "" if everything else " Every setting with its reason: --verbose."
                typer.echo(f"Dry run: nothing was trained, no run folder was written.{more}")
            return
        if as_json:
            print_json(manifest.to_json()["errors"])
        elif logger.isEnabledFor(logging.INFO):
            every_group = logger.isEnabledFor(logging.DEBUG)
            print_table(compact_error_table(manifest.errors or {}, groups=every_group))
        say(f"model:   {out / 'model'}")
        say(f"report:  {out / 'report.html'}")

    if seeds is not None:
        from pestle.jobs.finetune.seeds import finetune_seeds

        members = finetune_seeds(
            settings, out, seeds=seeds, trust=trust, dry_run=dry_run, command=text, show=show
        )
        if as_json and not dry_run:
            print_json(members.to_json())
        elif not dry_run:
            typer.echo("\n".join(members.lines()))
        if members.failed:
            raise typer.Exit(1)
        return
    finetune(settings, out, trust=trust, resume=resume, dry_run=dry_run, command=text, show=show)
