"""`pestle report`: the page of a run, or of several side by side, their table, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError
from pestle.files import write_text
from pestle.locks import locked_file, locked_folder
from pestle.records.folder import require_file, require_folder
from pestle.records.reading import holds_results
from pestle.reports import write_comparison
from pestle.reports import write_report as write_page
from pestle.reports.gathering.files import CSV_BEGINS, LATEX_BEGINS, csv_of, latex_of
from pestle.reports.gathering.gather import gather as gather_folders
from pestle.reports.gathering.view import Comparison

#: Where a comparison goes by default.
COMPARISON = Path("comparison.html")
_PAGE_BEGINS = "<!doctype html"


def report(folders: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of one folder, or a page that compares several.

    >>> pestle.report(["runs/mine", "runs/other"], "comparison.html")

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
    paths = require_results(folders)
    target = Path(out) if out is not None else None
    if target is not None and target.is_dir():
        raise PestleError(
            "is a folder, not a file", where=str(target), fix=f"-o {target}/NAME.html"
        )
    if target is not None:
        _require_own(target, _PAGE_BEGINS, "-o")
    if len(paths) == 1:
        with locked_file(target or paths[0] / "report.html"):
            return write_page(paths[0], target)
    target = target or COMPARISON
    if target.resolve() in [path.resolve() / "report.html" for path in paths]:
        raise PestleError(
            "is the report of one of the runs",
            where=str(target),
            fix="Choose another file with -o.",
        )
    require_file(target)
    with locked_file(target):
        return write_comparison(paths, target)


def gather(
    folders: str | Path | Sequence[str | Path],
    *,
    groups: bool = False,
    csv: str | Path | None = None,
    latex: str | Path | None = None,
) -> Comparison:
    """Gather run folders into one table; runs that differ by seed alone are one row.

    >>> pestle.gather(["runs/naive-0", "runs/naive-1", "runs/lora-0"])

    Args:
        folders: of runs, or of tests of a model; whatever made them.
        groups: whether errors by config_type have columns of their own.
        csv: file for the table as CSV, all digits, units in the heads.
        latex: file for the table as LaTeX, in parts that fit a page, with rules of booktabs.

    Returns:
        The comparison, with means and standard deviations over seeds (meV/atom, meV/Å), and the
        best of each column where rows were judged on equal frames.

    Raises:
        PestleError: a folder holds neither a run nor results, is named twice, or a file is there
            that is no such table.
    """
    paths = require_results(folders)
    wanted = [
        (Path(file), begins, option, write)
        for file, begins, option, write in (
            (csv, CSV_BEGINS, "--csv", csv_of),
            (latex, LATEX_BEGINS, "--latex", latex_of),
        )
        if file is not None
    ]
    for target, begins, option, _ in wanted:
        _require_own(target, begins, option)
    found = gather_folders(paths, groups=groups)
    for target, _, _, write in wanted:
        with locked_file(target):
            write_text(target, write(found))
    return Comparison(found)


def write_figures(folders: str | Path | Sequence[str | Path], out: str | Path) -> list[Path]:
    """Write each plot of the page as SVG and PDF, as wide as a column of a paper, and its data as
    CSV.

    >>> pestle.write_figures("runs/mine", "figures")

    Args:
        folders: of runs, or of tests of a model; of several the plots that compare them.
        out: folder for the files; one that is not there is made.

    Returns:
        The files, three for each plot, and captions.md, which says what each shows.

    Raises:
        PestleError: a folder holds neither a run nor results, or is named twice.
    """
    from pestle.reports.pictures.write import (
        pictures_of_comparison,
        pictures_of_run,
        write_pictures,
    )

    paths = require_results(folders)
    target = Path(out)
    require_folder(target)
    figures = pictures_of_run(paths[0]) if len(paths) == 1 else pictures_of_comparison(paths)
    with locked_folder(target):
        return write_pictures(figures, target)


def require_results(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """The folders, each of which must hold a run or results of tests.

    Raises:
        PestleError: none is given, one holds neither, or one is named twice.
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    paths = [Path(folder) for folder in given]
    if not paths:
        raise PestleError("no folder is given", where="report", fix="Name one or more run folders.")
    for path in paths:
        if not path.is_dir():
            raise PestleError("no such folder", where=str(path))
        if not holds_results(path):
            raise PestleError(
                "holds neither a run nor results of tests",
                where=str(path),
                fix="Give a folder that finetune or qualify wrote.",
            )
    places = [path.resolve() for path in paths]
    again = next((p for k, p in enumerate(paths) if places[k] in places[:k]), None)
    if again is not None:
        raise PestleError("is named twice", where=str(again))
    return paths


def _require_own(target: Path, begins: str, option: str) -> None:
    """A file that is there must be what is written over it: nothing else is lost by a slip."""
    require_file(target)
    if target.is_file() and target.stat().st_size:
        with target.open("rb") as stream:
            start = stream.read(200).lstrip().lower()
        if not start.startswith(begins.lower().encode()):
            what = "report" if begins == _PAGE_BEGINS else "table of Pestle"
            raise PestleError(
                f"is there and is no {what}",
                where=str(target),
                fix=f"Choose another file with {option}.",
            )
