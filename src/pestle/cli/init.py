"""`pestle init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pestle.cli.options import FoundationOption, Trust


def command(
    data: Annotated[list[str] | None, typer.Argument(help="Training files or globs.")] = None,
    foundation: FoundationOption = None,
    trust: Trust = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("run.yaml"),
) -> None:
    """Write a commented run file with every setting for your data."""
    from pestle.progress import loading_torch

    with loading_torch():
        from pestle.adaptation import IN_WORDS
        from pestle.errors import PestleError
        from pestle.files import write_text
        from pestle.jobs.run_paths import for_file, foundation_for_file
        from pestle.locks import locked_file
        from pestle.records.folder import require_file
        from pestle.settings.run_file import build, template
        from pestle.structures.reading import expand_paths

    require_file(out)
    if out.exists():
        raise PestleError("exists already", where=str(out), fix="Choose another name with -o.")
    if trust and not foundation:
        raise PestleError("--trust needs the file that is trusted: -f FILE")
    asked: dict[str, object] = {}
    if data:
        expand_paths(data)
        asked["data.train"] = [for_file(name, out.parent) for name in data]
    if foundation:
        if trust:
            from pestle.jobs.trust import trust as remember

            remember(foundation)
        asked["foundation"] = foundation_for_file(foundation, out.parent)
    with locked_file(out):
        write_text(out, template(build({}, asked), {"method": IN_WORDS}))
    typer.echo(f"wrote {out}; start it with: pestle finetune {shlex.quote(str(out))} -o RUN_DIR")
