"""`pestle report`: the page of a run, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError
from pestle.locks import locked_file
from pestle.records.folder import require_file
from pestle.records.reading import holds_results
from pestle.report import write_comparison
from pestle.report import write_report as write_page

#: Where a comparison goes by default.
COMPARISON = Path("comparison.html")


def write_report(folders: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of one folder, or a page that compares several.

    >>> pestle.write_report(["runs/mine", "runs/other"], "comparison.html")

    Args:
        folders: of runs, or of tests of a model (`pestle qualify`); one or several.
        out: the file; by default report.html in the folder, and comparison.html in the current
            folder where there are several.

    Returns:
        The file that was written.

    Raises:
        PestleError: a folder holds neither a run nor results, is named twice, or the page would be
            written over a run's own report or over what is no report.
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    paths = [Path(folder) for folder in given]
    if not paths:
        raise PestleError("no folder is given", where="report", fix="Name one or more run folders.")
    for path in paths:
        _require_results(path)
    target = Path(out) if out is not None else None
    if target is not None and target.is_dir():
        raise PestleError(
            "is a folder, not a file", where=str(target), fix=f"-o {target}/NAME.html"
        )
    if target is not None:
        require_file(target)
        _require_page(target)
    if len(paths) == 1:
        with locked_file(target or paths[0] / "report.html"):
            return write_page(paths[0], target)
    places = [path.resolve() for path in paths]
    again = next((p for k, p in enumerate(paths) if places[k] in places[:k]), None)
    if again is not None:
        raise PestleError("is named twice", where=str(again))
    target = target or COMPARISON
    if target.resolve() in [place / "report.html" for place in places]:
        raise PestleError(
            "is the report of one of the runs",
            where=str(target),
            fix="Choose another file with -o.",
        )
    require_file(target)
    with locked_file(target):
        return write_comparison(paths, target)


def _require_page(target: Path) -> None:
    """A file that is there must be a page: a report is written over nothing else."""
    if target.is_file() and target.stat().st_size:
        with target.open("rb") as stream:
            begins = stream.read(200).lstrip().lower()
        if not begins.startswith(b"<!doctype html"):
            raise PestleError(
                "is there and is no report", where=str(target), fix="Choose another file with -o."
            )


def _require_results(path: Path) -> None:
    if not path.is_dir():
        raise PestleError("no such folder", where=str(path))
    if not holds_results(path):
        raise PestleError(
            "holds neither a run nor results of tests",
            where=str(path),
            fix="Give a folder that finetune or qualify wrote.",
        )
