"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import ArgumentInfo

from pestle.cli import completion

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load .model files: these are pickles, which can run their author's code. Each file "
        "needs this option only once.",
    ),
]
Head = Annotated[str | None, typer.Option("--head", help="Head of the model, if it has several.")]
FoundationOption = Annotated[
    str | None,
    typer.Option(
        "--foundation",
        "-f",
        help="Catalogue name, model folder, .nqx or .model file.",
        autocompletion=completion.foundations,
    ),
]
EnergyKey = Annotated[str | None, typer.Option(help="Key of the total energy (eV).")]
ForcesKey = Annotated[str | None, typer.Option(help="Key of the forces (eV/Å).")]
StressKey = Annotated[str | None, typer.Option(help="Key of the stress (eV/Å³, ASE's sign).")]
VirialsKey = Annotated[str | None, typer.Option(help="Key of the virials (eV).")]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        help="Use only frames with KEY=VALUE (head=pbe, charge=0); can be repeated. all: use all "
        "frames as one potential-energy surface, whatever the files say.",
    ),
]
SubtractDispersion = Annotated[
    str | None,
    typer.Option(
        "--subtract-dispersion",
        help="Functional (pbe; pbe-d3(zero)) whose D3 correction is first subtracted from the "
        "labels.",
    ),
]
Files = Annotated[list[str], typer.Argument(help="Structure files or globs.")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-d", help="Structure files or globs; can be repeated."),
]
#: The same files without the name of the option; `named_files` joins both.
DataArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[DATA]", help="Structure files or globs (--data).")
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write.")]
Scope = Annotated[
    str | None,
    typer.Option(
        help="narrow: configurations like those of the data. broad: also others.",
        autocompletion=completion.scopes,
    ),
]
MaxEdges = Annotated[
    int | None, typer.Option(help="Largest number of edges in a batch; limits memory.", min=1)
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        help="The foundation to compare with.",
        autocompletion=completion.foundations,
    ),
]
Also = Annotated[
    list[str] | None, typer.Option("--also", help="A further model to compare; can be repeated.")
]
Elements = Annotated[
    str | None,
    typer.Option("--elements", help="Chemical symbols, e.g. H,C,O, instead of the data's."),
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
#: Settings of physical tests.
ProbeSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="NAME=VALUE of any setting, one or several: md.time=100 rss.structures=20.",
        autocompletion=completion.probe_settings,
    ),
]
Dtype = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show only warnings, errors and the result."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Show everything: the whole plan, every evaluation and stage."
    ),
]


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--quiet` and `--verbose` to the end of a command.

    Args:
        command: function of a command.

    Returns:
        A function with these two options that calls the command.
    """

    @functools.wraps(command)
    def run(*, quiet: bool, verbose: bool, **typed: Any) -> None:
        from pestle.errors import PestleError
        from pestle.progress import logger, screen

        if quiet and verbose:
            raise PestleError("--quiet and --verbose exclude each other", fix="Leave one out.")
        screen.begin()
        before = logger.level
        if quiet or verbose:
            logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
        try:
            command(**typed)
        finally:
            logger.setLevel(before)

    own = inspect.signature(command, eval_str=True)
    further = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("verbose", Verbose))
    ]
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), *further]
    )
    return run


class Commands(typer.Typer):
    """Commands, each of which takes `--quiet` and `--verbose`."""

    def command(  # type: ignore[override]
        self, *named: Any, **further: Any
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Take a function as a command; the arguments are those of typer."""
        register = super().command(*named, **further)
        return lambda command: register(with_verbosity(command))


def with_options(
    options: Mapping[str, Any], request: Signature
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options that are made when the program starts.

    Args:
        options: parameter → annotation with its typer.Argument or typer.Option, in the order of the
            help. Arguments are required.
        request: signature of the function that the command calls; the options get its defaults.

    Returns:
        A decorator for the function of the command.
    """

    def parameter(name: str, kind: Any) -> Parameter:
        required = isinstance(kind.__metadata__[0], ArgumentInfo)
        behind = request.parameters.get(name)
        # An option that is not typed is None, or the default that the help shows.
        default = behind.default if behind is not None else False
        shown = default if isinstance(default, bool | str) else None
        return Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if required else shown,
            annotation=kind,
        )

    def add(command: Callable[..., None]) -> Callable[..., None]:
        found = Signature([parameter(name, kind) for name, kind in options.items()])
        command.__signature__ = found  # type: ignore[attr-defined]
        return command

    return add


def named_files(arguments: list[str] | None, data: list[str] | None) -> list[str]:
    """Return the structure files of a command that takes them with and without `--data`.

    Args:
        arguments: files that were typed alone.
        data: files that were typed after `--data`.

    Raises:
        PestleError: no file was typed.
    """
    from pestle.errors import PestleError

    files = [*(arguments or []), *(data or [])]
    if not files:
        raise PestleError("no structure files were named", fix="Name them, or use --data FILE.")
    return files


def asked_of(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Convert typed options of a physical test to arguments of its Python function.

    Args:
        typed: parameter → value; `None` if the option was not typed.

    Returns:
        Parameter → value of the options that were typed: `elements` as chemical symbols,
        `settings` as dotted name → value.

    Raises:
        PestleError: a setting is unknown or has no value.
    """
    from pestle.settings.probe import ProbeSettings
    from pestle.settings.run_file import parse_overrides

    asked = {name: value for name, value in typed.items() if value is not None}
    if "elements" in asked:
        asked["elements"] = [symbol.strip() for symbol in asked["elements"].split(",")]
    asked["settings"] = parse_overrides(asked.get("settings", []), ProbeSettings)
    return asked
