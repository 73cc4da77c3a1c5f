"""The command line: one thin file per command, loaded only when that command runs."""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper

import typer

from pestle.cli import (
    check,
    demo,
    e0,
    evaluate,
    export,
    finetune,
    init,
    label,
    models,
    probe,
    qualify,
    replay,
    report,
    study,
    trust,
)
from pestle.cli.options import Commands
from pestle.cli.words import one_each
from pestle.errors import Interrupted, PestleError

app = Commands(
    name="pestle",
    help="Fine-tune a foundation interatomic potential and show whether it is fit for use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.command)
app.command("models")(models.command)
app.command("trust")(trust.command)
app.command("init")(init.command)
app.command("check")(check.command)
app.command("e0")(e0.command)
app.command("finetune", epilog=finetune.METHODS_IN_WORDS)(finetune.command)
app.command("evaluate")(evaluate.command)
app.command("export")(export.command)
app.command("probe")(probe.command)
app.command("qualify")(qualify.command)
app.command("report")(report.command)
app.command("label")(label.command)
app.command("replay")(replay.command)
app.add_typer(study.app, name="study")


#: Arguments of `gc.set_threshold`; Python starts with 700, 10, 10.
GARBAGE_THRESHOLDS = (10_000, 20, 50)
#: Exit code of a command that was interrupted.
INTERRUPTED = 130
#: Commands that keep what they have calculated and continue from it when they are typed again.
RESUMING = ("probe", "qualify", "label", "study")


def _version(show: bool) -> None:
    if show:
        from pestle import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Fine-tune a foundation interatomic potential and show whether it is fit for use."""


def fail(text: str, code: int) -> int:
    """Print an error as one line on standard error.

    Args:
        text: what went wrong.
        code: exit code of the command.

    Returns:
        The same code.
    """
    typer.echo(f"error: {text}", err=True)
    return code


def main() -> None:
    """Run a command. Exit codes: 0 success, 2 a user's mistake, 1 a failure, 130 interrupted."""
    # Modules and networks are millions of objects that are never freed. Python's search for cyclic
    # garbage would scan them often, and again at the end: this takes seconds of a short run.
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    for stream in (sys.stdout, sys.stderr):
        # Å is written as UTF-8 even if the locale is ASCII; file names keep their bytes.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    from pestle.foreign import off_screen

    with off_screen():
        code = _run()
    gc.freeze()
    sys.exit(code)


def _run() -> int:
    """Run the command that was typed and return its exit code."""
    try:
        result = app(one_each(sys.argv[1:]), standalone_mode=False)
    except PestleError as error:
        return fail(error.line, error.exit_code)
    except Interrupted as stop:
        typer.echo(str(stop), err=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        return fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the program that reads the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return fail(f"{named}{error.strerror or error}", 1)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())  # type: ignore[attr-defined]
            return 2
        # A usage error of the parser; its class depends on the version of click.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return fail(" ".join(error.format_message().split()), int(error.exit_code))
        if type(error).__name__ == "Abort":
            return fail("interrupted", INTERRUPTED)
        # Most commands report missing memory in more detail before this place.
        if "torch" in sys.modules:
            from pestle.foundations.devices import is_out_of_memory

            if is_out_of_memory(error):
                return fail(" ".join(str(error).split()), 1)
        raise
    if result == INTERRUPTED:  # typer returns this code for a KeyboardInterrupt
        goes_on = any(name in sys.argv[1:2] for name in RESUMING)
        return fail("interrupted" + "; the same command goes on" * goes_on, INTERRUPTED)
    return result if isinstance(result, int) else 0
