"""`pestle study table` and `pestle study plot`: what a study shows, on a terminal and in files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pestle.errors import PestleError, nearest
from pestle.files import write_text
from pestle.progress import warn
from pestle.records.gathered import Gathered
from pestle.records.study import StudyPlan
from pestle.reports import write_comparison
from pestle.reports.comparison import OfStudy
from pestle.reports.figures import Figure
from pestle.reports.gathering.files import csv_of, latex_of
from pestle.study.figures import Figures, TrainedCell, trained_cells
from pestle.study.job import planned
from pestle.study.part import part_of
from pestle.study.plots import plot
from pestle.study.status import state_of
from pestle.study.study_file import PlotSettings, Study, TableSettings, read_study
from pestle.study.tables import table
from pestle.wording import listed

#: Table of a study that names none.
USUAL = "errors"


def study_tables(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
    names: Sequence[str] = (),
) -> dict[str, Gathered]:
    """Make the tables of a study from the runs that are finished, and write them.

    Args:
        study, given, out, only: as in `run_study`.
        names: of tables; all where it is empty.

    Returns:
        Name → table; each stands as NAME.csv and NAME.tex in the folder `tables` of the study.

    Raises:
        PestleError: a mistake in the study, or no run is finished. Where one table cannot be made
            yet the others are.
    """
    asked = read_study(study, given, out)
    whole = planned(asked)
    state = state_of(whole, asked.folder, only)
    cells = trained_cells(part_of(whole, only), state)
    figures = Figures(cells, asked.asked.phases)
    wanted = asked.asked.tables or {USUAL: TableSettings(values=figures.usual())}
    found: dict[str, Gathered] = {}
    failed: list[PestleError] = []
    for name, settings in wanted.items():
        if name not in _chosen(names, wanted, "tables"):
            continue
        try:
            made = table(name, settings, cells, figures, whole, only)
        except PestleError as error:
            failed.append(error)
            continue
        found[name] = made
        write_text(asked.folder / "tables" / f"{name}.csv", csv_of(made))
        notes = "".join(f"% {note}\n" for note in made.notes)
        write_text(asked.folder / "tables" / f"{name}.tex", latex_of(made) + notes)
    left_out = [one.cell.name for one in state.of("changed")]
    if left_out:
        warn(
            "left out, as they were gone on with by hand with other settings: "
            f"{listed(left_out)}. `pestle study status` says what to do"
        )
    if failed and not found:
        raise failed[0]
    for one in failed:
        warn(one.line)
    return found


def study_plots(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[Path]:
    """Draw the plots of a study from the runs that are finished.

    Args:
        study, given, out, only: as in `run_study`.
        names: of plots; all where it is empty.

    Returns:
        Files in the folder `plots` of the study: NAME.svg, NAME.pdf, NAME.csv, and captions.md.

    Raises:
        PestleError: a mistake in the study, it names no plots, or no run is finished. Where one
            plot cannot be drawn the others are.
    """
    from pestle.reports.pictures.write import write_pictures  # matplotlib takes a second

    asked = read_study(study, given, out)
    wanted: dict[str, PlotSettings] = asked.asked.plots
    if not wanted:
        raise PestleError(
            "names no plots",
            where=str(study),
            fix="Add them: plots: {NAME: {x: data.train_fraction, y: test.forces_rmse}}.",
        )
    whole, cells = _cells(asked, only)
    drawn, failed = _drawn(asked, whole, only, cells, _chosen(names, wanted, "plots"))
    files = write_pictures(drawn, asked.folder / "plots") if drawn else []
    if failed:
        raise failed[0]
    return files


def _drawn(
    asked: Study,
    whole: StudyPlan,
    only: Sequence[str],
    cells: Sequence[TrainedCell],
    names: Collection[str],
) -> tuple[list[Figure], list[PestleError]]:
    """Return the pictures of some plots, and why others cannot be drawn."""
    figures = Figures(cells, asked.asked.phases)
    drawn: list[Figure] = []
    failed: list[PestleError] = []
    for name, settings in asked.asked.plots.items():
        if name in names:
            try:
                drawn += plot(name, settings, cells, figures, whole, only)
            except PestleError as error:
                failed.append(error)
    return drawn, failed


def study_page(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
    tables: Mapping[str, Gathered] | None = None,
) -> Path:
    """Write one page with the tables and plots of a study, and all of its runs that are finished;
    returns its file.

    Args:
        study, given, out, only: as in `run_study`.
        tables: what `study_tables` has just made; `None`: they are made here.

    Raises:
        PestleError: a mistake in the study, or no run is finished.
    """
    asked = read_study(study, given, out)
    whole, cells = _cells(asked, only)
    folders = dict.fromkeys(cell.facts.results.path for cell in cells)
    drawn, failed = _drawn(asked, whole, only, cells, asked.asked.plots)
    for error in failed:
        warn(error.line)
    own = [
        replace(figure, name=re.sub(r"[^A-Za-z0-9]+", "-", f"study-{figure.name}"))
        for figure in drawn
    ]
    if tables is None:
        try:
            tables = study_tables(study, given=given, out=out, only=only)
        except PestleError as error:
            warn(error.line)
            tables = {}
    of_study = OfStudy(asked.path.stem, tables, own)
    return write_comparison(list(folders), asked.folder / "study.html", of_study)


def _cells(asked: Study, only: Sequence[str]) -> tuple[StudyPlan, list[TrainedCell]]:
    """The plan of the whole study, and the trained cells among the chosen ones."""
    whole = planned(asked)
    state = state_of(whole, asked.folder, only)
    return whole, trained_cells(part_of(whole, only), state)


def _chosen(names: Sequence[str], known: Iterable[str], what: str) -> set[str]:
    """Names that are asked for.

    Raises:
        PestleError: there is no such table or plot.
    """
    wanted = list(known)
    for name in names:
        if name not in wanted:
            raise PestleError(
                f"the study names no '{name}'",
                where=what,
                fix=f"{nearest(name, wanted)} There are {', '.join(wanted)}.".lstrip(),
            )
    return set(names or wanted)
