"""`pestle report`: the report of a run or the comparison of several, their table, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError
from pestle.files import each_of, write_text
from pestle.locks import locked_file, locked_folder
from pestle.members import members_of
from pestle.progress import stage
from pestle.records.folder import require_file, require_folder
from pestle.records.reading import holds_results
from pestle.reports import write_comparison
from pestle.reports import write_report as write_page
from pestle.reports.gathering.files import CSV_BEGINS, LATEX_BEGINS, csv_of, latex_of
from pestle.reports.gathering.gather import gather as gather_folders
from pestle.reports.gathering.view import Comparison
from pestle.wording import counted

#: Default file of a comparison.
COMPARISON = Path("comparison.html")
_PAGE_BEGINS = "<!doctype html"


def report(folders: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of one run, or a page that compares several.

    >>> pestle.report(["runs/mine", "runs/other"], "comparison.html")

    Args:
        folders: one or several folders of runs or of tests of a model (`pestle qualify`).
        out: file to write; by default report.html in the folder, or comparison.html in the current
            folder for several folders.

    Returns:
        The file that was written.

    Raises:
        PestleError: a folder holds neither a run nor results, a folder is named twice, or `out`
            is the report of a run or exists and is not a report.
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
        page = target or paths[0] / "report.html"
        with locked_file(page), stage(f"writing {page}"):
            return write_page(paths[0], target)
    target = target or COMPARISON
    if target.resolve() in [path.resolve() / "report.html" for path in paths]:
        raise PestleError(
            "is the report of one of the runs",
            where=str(target),
            fix="Choose another file with -o.",
        )
    require_file(target)
    with locked_file(target), stage(f"writing {target}"):
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
        folders: folders of runs or of tests of a model.
        groups: whether errors by config_type have columns of their own.
        csv: file for the table as CSV, with all digits and with units in the headings.
        latex: file for the table as LaTeX with booktabs, in parts that fit a page.

    Returns:
        The comparison, with means and standard deviations over seeds (meV/atom, meV/Å). The best
        value of each column is marked among rows that were judged on the same frames.

    Raises:
        PestleError: a folder holds neither a run nor results, a folder is named twice, or a file
            exists and is not such a table.
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
    with stage(f"reading {counted(len(paths), 'run')}"):
        found = gather_folders(paths, groups=groups)
    for target, _, _, write in wanted:
        with locked_file(target):
            write_text(target, write(found))
    return Comparison(found)


def write_figures(folders: str | Path | Sequence[str | Path], out: str | Path) -> list[Path]:
    """Write each plot of a report as SVG and PDF, as wide as a column of a paper, and its data as
    CSV.

    >>> pestle.write_figures("runs/mine", "figures")

    Args:
        folders: folders of runs or of tests of a model; for several, the plots compare them.
        out: folder for the files; it is made if it does not exist.

    Returns:
        The files: three for each plot, and captions.md with the captions.

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
    with locked_folder(target), stage(f"drawing the plots in {target}"):
        figures = pictures_of_run(paths[0]) if len(paths) == 1 else pictures_of_comparison(paths)
        return write_pictures(figures, target)


def require_results(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """Check that each folder holds a run or results of tests.

    Args:
        folders: one or several folders.

    Returns:
        The folders; the members of several seeds in the place of the folder that holds them.

    Raises:
        PestleError: there is no folder, one holds neither, or one is named twice.
    """
    given = [Path(folder) for folder in each_of(folders)]
    paths = [path for folder in given for path in members_of(folder) or [folder]]
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
    """Check that a file to overwrite is of the same kind, so that a wrong name destroys nothing.

    Args:
        target: file to write.
        begins: start of a file of this kind.
        option: option that names the file.

    Raises:
        PestleError: the file exists and is of another kind, or it cannot be written.
    """
    require_file(target)
    if target.is_file() and target.stat().st_size:
        with target.open("rb") as stream:
            start = stream.read(200).lstrip().lower()
        if not start.startswith(begins.lower().encode()):
            what = "report" if begins == _PAGE_BEGINS else "table of Pestle"
            raise PestleError(
                f"exists and is not a {what}",
                where=str(target),
                fix=f"Choose another file with {option}.",
            )
