"""Names in the tables and plots of a study, as far as they are known before anything is done."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pestle.errors import PestleError, near_name, nearest
from pestle.protocols import names
from pestle.records.study import PlannedCell
from pestle.study.study_file import PlotSettings, StudyFile

#: What a plot of the course of a training may run over.
COURSE = ("epoch", "step")
#: Begins the name of a figure of what the run began with.
FOUNDATION = "foundation."
#: Figures of errors.
ERRORS = tuple(
    f"{what}_{kind}" for what in ("energy", "forces", "stress") for kind in ("rmse", "mae")
)
#: Sets of every run; files of tests may be further ones.
SETS = ("test", "valid", "train", "replay", "in_phase", "out_of_phase")
#: Figures of a run that are no errors on a set.
FURTHER = ("drift", "updates", "converged")
#: What such figures begin with.
ABOUT = ("cost", "forgetting", "train", "replay", "errors")


def check_names(asked: StudyFile, cells: Sequence[PlannedCell], file: str) -> None:
    """Axes must be those of the study, and figures such as its runs can have.

    Args:
        asked: the study.
        cells: all of its cells.
        file: names the study in errors.

    Raises:
        PestleError: a name is wrong; names the nearest one.
    """
    axes = list(dict.fromkeys(axis for cell in cells for axis in cell.axes))
    tests = {step for cell in cells for step in cell.steps} - {"finetune"}
    for name, table in asked.tables.items():
        where = f"{file}: tables.{name}"
        for entry in ("rows", "columns", "over"):
            _axes(getattr(table, entry) or (), axes, f"{where}.{entry}")
        for value in table.values:
            _figure(value, tests, f"{where}.values")
    for name, plot in asked.plots.items():
        where = f"{file}: plots.{name}"
        for entry in ("lines", "over"):
            _axes(getattr(plot, entry) or (), axes, f"{where}.{entry}")
        if plot.x is not None and not _is_course(plot):
            _axes([plot.x], axes, f"{where}.x", COURSE if plot.kind == "figure" else ())
        if plot.kind == "figure" and plot.y is not None and not _is_course(plot):
            _figure(plot.y, tests, f"{where}.y")


def _is_course(plot: PlotSettings) -> bool:
    return plot.kind == "figure" and plot.x in COURSE


def _axes(wanted: Sequence[str], axes: Sequence[str], where: str, more: Sequence[str] = ()) -> None:
    known = [*axes, *more]
    for name in wanted:
        if name not in known:
            fix = f"{nearest(name, known)} The axes are {', '.join(known)}.".lstrip()
            raise PestleError(f"'{name}' is no axis of the study", where=where, fix=fix)


def _figure(name: str, tests: Collection[str], where: str) -> None:
    """A figure must be one that runs with these tests can have. What a test measures is known when
    it has run, and so are the names of its files."""
    of, _, rest = name.removeprefix(FOUNDATION).partition(".")
    if of in names() and of not in ABOUT:
        if "qualify" not in tests and f"probe {of}" not in tests:
            raise PestleError(
                f"'{name}' is a figure of a test that the study does not do",
                where=where,
                fix=f"Add it: probe: {{{of}: {{}}}}, or `qualify`.",
            )
        return
    if not rest:
        if of not in FURTHER:
            known = [*FURTHER, *(f"test.{error}" for error in ERRORS)]
            raise PestleError(
                f"there is no figure '{name}'", where=where, fix=nearest(name, known) or None
            )
        return
    if of in ABOUT and rest not in ERRORS and not (near_name(rest, ERRORS) and of in SETS):
        return
    if not tests and of not in SETS:
        known = [*SETS, *ABOUT, *names()]
        raise PestleError(
            f"no run of the study has '{of}' of the figure '{name}'",
            where=where,
            fix=f"{nearest(of, known)} Errors are of {', '.join(SETS)}.".lstrip(),
        )
    last = rest.rpartition(".")[2]
    if last not in ERRORS:
        near = near_name(last, ERRORS)
        whole = name.removesuffix(last)
        raise PestleError(
            f"there is no figure '{name}'",
            where=where,
            fix=(f"Did you mean '{whole}{near}'? " if near else "")
            + f"Errors are {', '.join(ERRORS)}.",
        )
