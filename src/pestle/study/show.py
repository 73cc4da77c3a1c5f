"""`pestle study table` and `pestle study plot`: what a study shows, on a terminal and in files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pestle.errors import PestleError, nearest
from pestle.files import write_text
from pestle.records.gathered import Gathered
from pestle.reports import write_comparison
from pestle.reports.figures import Figure
from pestle.reports.gathering.files import csv_of, latex_of
from pestle.study.figures import Figures, TrainedCell, trained_cells
from pestle.study.job import planned
from pestle.study.plots import plot
from pestle.study.status import state_of
from pestle.study.study_file import PlotSettings, Study, TableSettings, read_study
from pestle.study.tables import table

#: Table of a study that names none.
USUAL = "errors"


def study_tables(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
) -> dict[str, Gathered]:
    """Make the tables of a study from the runs that are finished, and write them.

    Args:
        study, given, out: as in `run_study`.
        only: names of tables; all where it is empty.

    Returns:
        Name → table; each stands as NAME.csv and NAME.tex in the folder `tables` of the study.

    Raises:
        PestleError: a mistake in the study, or no run is finished.
    """
    asked = read_study(study, given, out)
    cells, seeds = _cells(asked)
    figures = Figures(cells, asked.asked.phases)
    wanted = asked.asked.tables or {USUAL: TableSettings(values=figures.usual())}
    found = {
        name: table(name, settings, cells, figures, seeds)
        for name, settings in wanted.items()
        if name in _chosen(only, wanted, "tables")
    }
    for name, made in found.items():
        write_text(asked.folder / "tables" / f"{name}.csv", csv_of(made))
        write_text(asked.folder / "tables" / f"{name}.tex", latex_of(made))
    return found


def study_plots(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
) -> list[Path]:
    """Draw the plots of a study from the runs that are finished.

    Args:
        study, given, out: as in `run_study`.
        only: names of plots; all where it is empty.

    Returns:
        Files in the folder `plots` of the study: NAME.svg, NAME.pdf, NAME.csv, and captions.md.

    Raises:
        PestleError: a mistake in the study, it names no plots, or no run is finished.
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
    return write_pictures(_drawn(asked, _chosen(only, wanted, "plots")), asked.folder / "plots")


def _drawn(asked: Study, names: Collection[str]) -> list[Figure]:
    """The pictures of some plots."""
    cells, seeds = _cells(asked)
    figures = Figures(cells, asked.asked.phases)
    return [
        figure
        for name, settings in asked.asked.plots.items()
        if name in names
        for figure in plot(name, settings, cells, figures, seeds)
    ]


def study_page(
    study: str | Path, *, given: Sequence[str] = (), out: str | Path | None = None
) -> Path:
    """Write one page with all runs of a study that are finished, and its plots; returns its file.

    Args:
        study, given, out: as in `run_study`.

    Raises:
        PestleError: a mistake in the study or a plot of it, or no run is finished.
    """
    asked = read_study(study, given, out)
    cells, _ = _cells(asked)
    folders = dict.fromkeys(cell.facts.results.path for cell in cells)
    own = [
        replace(figure, name=re.sub(r"[^A-Za-z0-9]+", "-", f"study-{figure.name}"))
        for figure in _drawn(asked, asked.asked.plots)
    ]
    return write_comparison(list(folders), asked.folder / "study.html", own)


def _cells(asked: Study) -> tuple[list[TrainedCell], tuple[str, ...]]:
    """Trained cells, and the axes that are seeds."""
    record = planned(asked)
    return trained_cells(record, state_of(record, asked.folder)), record.seeds


def _chosen(only: Sequence[str], known: Iterable[str], what: str) -> set[str]:
    """Names that are asked for.

    Raises:
        PestleError: there is no such table or plot.
    """
    wanted = list(known)
    for name in only:
        if name not in wanted:
            raise PestleError(
                f"the study names no '{name}'",
                where=what,
                fix=f"{nearest(name, wanted)} There are {', '.join(wanted)}.".lstrip(),
            )
    return set(only or wanted)
