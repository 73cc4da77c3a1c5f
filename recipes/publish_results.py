"""Copy tables and plots of a study that was run to docs/results/NAME, and fill docs/results.md.

    python recipes/publish_results.py FOLDER NAME

FOLDER is what `pestle study` made (`-o`); nothing is written there. NAME is the folder below
docs/results. Typed again, it replaces what is there. Tables and plots are those of the file that
the study was run with. If a file below studies/ is the same, the page names it; another one is
copied to docs/results/NAME/study.yaml. `--study FILE` takes tables and plots from another file,
whose matrix must contain all cells of the folder. `--runs RUN …` adds runs that lie elsewhere:
their axes must be settings. `--set NAME=VALUE` (repeated) is a setting with which the study was
run; the page then shows it in the command. `--note TEXT` is a sentence that the page shows beside
the number of runs.

If the page does not have the study yet, a section is put before "Not run yet": command, tables and
pictures. The readings are then written by hand; what stands between the comments is filled
(results_page.py). Tables, plots and texts with paths of this machine are refused.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from results_page import PAGE, ROOT, filled
from results_record import RECORD, Published, PublishedPlot, PublishedRun

from pestle.errors import PestleError
from pestle.files import write_text
from pestle.records.gathered import Gathered
from pestle.records.study import PlannedCell, StudyPlan
from pestle.reports.gathering.facts import facts_of
from pestle.reports.gathering.files import csv_of
from pestle.reports.gathering.frames import Identity
from pestle.reports.pictures.write import write_pictures
from pestle.reports.reading import read_results
from pestle.settings.run_file import read_run_file
from pestle.study.figures import Figures, TrainedCell, trained_cells
from pestle.study.matrix import combinations
from pestle.study.plots import plot
from pestle.study.status import state_of
from pestle.study.study_file import Study, read_study
from pestle.study.tables import table

#: Line of the page before which new sections are put.
BEFORE = "## Not run yet"
#: A path that leads from the root of a machine, in a table, a text or a picture; `${data}/x/y` and
#: `</g>` are none.
_ABSOLUTE = re.compile(r"(?<![\w.:/<*)}\]])/(?:[\w.+-]+/)+[\w.+-]+")
#: Largest size of a picture (bytes).
LARGEST = 400_000


def publish(
    folder: Path,
    name: str,
    *,
    study: Path | None = None,
    runs: Sequence[Path] = (),
    settings: Sequence[str] = (),
    note: str = "",
    page: Path = PAGE,
) -> Path:
    """Write docs/results/NAME and fill the page; returns the folder.

    Args:
        folder: of the study.
        name: of the folder below docs/results.
        study: file with tables and plots; `None`: the one that the study was run with.
        runs: run folders that lie elsewhere.
        settings: NAME=VALUE each, with which the study was run, for the command on the page.
        note: what else must be known of the runs.
        page: docs/results.md.

    Raises:
        PestleError: no run is finished, the file does not fit the folder, or something that would
            be published holds a path of this machine.
    """
    if not re.fullmatch(r"[\w.+-]+", name):
        raise PestleError("is no name of a folder", where=name)
    plan = StudyPlan.read(folder / "plan.json")
    file = study if study is not None else Path(plan.study)
    variables = read_run_file(file).get("paths") or {}
    given = [*(f"{variable}={variable.upper()}" for variable in variables), *settings]
    asked = read_study(file, given, folder)
    planned = [
        {axis: value.shown for axis, value in one.items()}
        for one in combinations(asked.asked.matrix, asked.asked.include, asked.asked.exclude)
    ]
    # Values are compared as text: a list is a list or a tuple, a number whole or not.
    known = [{axis: str(value) for axis, value in one.items()} for one in planned]
    axes = list(dict.fromkeys(axis for one in planned for axis in one))
    cells = trained_cells(plan, state_of(plan, folder))
    by_place: dict[int, TrainedCell] = {}
    for cell in [*cells, *(_elsewhere(run, axes) for run in runs)]:
        own = {axis: str(value) for axis, value in cell.axes.items()}
        place = known.index(own) if own in known else None
        if place is None or place in by_place:
            raise PestleError(
                f"the study has no cell {own}" if place is None else f"two runs are of {own}",
                where=str(file),
                fix="Give the file that the runs were made with: --study FILE.",
            )
        by_place[place] = cell
    whole = plan.model_copy(
        update={
            "cells": tuple(
                PlannedCell(
                    name=by_place[place].facts.run.name if place in by_place else f"cell {place}",
                    axes=one,
                )
                for place, one in enumerate(planned)
            )
        }
    )
    cells = _with_equal_names_of_frames([by_place[place] for place in sorted(by_place)])
    out = page.parent / "results" / name
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / name
        made.mkdir()
        record = _write(made, asked, cells, whole)
        where = _in_repository(file, made, f"docs/results/{name}/study.yaml")
        command = " ".join(["pestle study", where, *(f"--set {one}" for one in given)])
        record = record.model_copy(update={"study": where, "command": command, "note": note})
        record.write(made / RECORD)
        _require_publishable(made)
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(made, out)
    text = page.read_text(encoding="utf-8")
    if f"<!-- study: {name} -->" not in text:
        text = text.replace(BEFORE, f"{_section(file, name, record)}\n{BEFORE}")
    write_text(page, filled(text, page.parent, name))
    return out


def _elsewhere(run: Path, axes: Sequence[str]) -> TrainedCell:
    """Return a run that lies elsewhere as a cell."""
    facts = facts_of(read_results(run), run.name)
    if facts.manifest is None or facts.manifest.status != "finished":
        raise PestleError("is no finished run", where=str(run))
    return TrainedCell({axis: facts.manifest.value(axis) for axis in axes}, facts)


def _with_equal_names_of_frames(cells: Sequence[TrainedCell]) -> list[TrainedCell]:
    """Return cells whose equal frames are called the same: runs of earlier versions know a hash of
    the files, others one of the frames."""
    known: list[Identity] = []
    found = []
    for cell in cells:
        own = {
            name: next((one for one in known if one.same_as(identity)), identity)
            for name, identity in cell.facts.identities.items()
        }
        known += own.values()
        found.append(TrainedCell(cell.axes, replace(cell.facts, identities=own)))
    return found


def _write(out: Path, asked: Study, cells: Sequence[TrainedCell], whole: StudyPlan) -> Published:
    """Write the tables as CSV and the plots as SVG and CSV; returns the record of them."""
    figures = Figures(cells, asked.asked.phases)
    tables, plots = {}, {}
    for name, settings in asked.asked.tables.items():
        made = _nameless(table(name, settings, cells, figures, whole))
        write_text(out / f"{name}.csv", csv_of(made))
        tables[name] = made.columns
    for name, shown in asked.asked.plots.items():
        for figure in plot(name, shown, cells, figures, whole):
            plots[figure.name] = PublishedPlot(title=figure.title, caption=figure.caption)
            write_pictures([figure], out / "plots")
            for suffix in ("svg", "csv"):  # a PDF is for papers
                place = out / f"plot-{figure.name}.{suffix}"
                (out / "plots" / f"{figure.name}.{suffix}").rename(place)
    shutil.rmtree(out / "plots", ignore_errors=True)
    runs = [
        PublishedRun(
            axes=cell.axes,
            converged=None if training.convergence is None else training.convergence.converged,
            updates=training.steps,
        )
        for cell in cells
        if cell.facts.manifest is not None
        and (training := cell.facts.manifest.training) is not None
    ]
    return Published(
        study="",
        command="",
        pestle=whole.pestle,
        cells=len(whole.cells),
        runs=tuple(runs),
        seeds=whole.seeds,
        tables=tables,
        plots=plots,
    )


def _nameless(made: Gathered) -> Gathered:
    """Return the table with runs called by their names, without the folders of this machine."""
    rows = [
        row.model_copy(
            update={"runs": tuple(one.model_copy(update={"path": one.name}) for one in row.runs)}
        )
        for row in made.rows
    ]
    return made.model_copy(update={"rows": tuple(rows)})


def _in_repository(file: Path, made: Path, otherwise: str) -> str:
    """Return the study's file below the repository; one that is not there is copied."""
    content = file.read_bytes()
    for known in sorted(ROOT.glob("studies/*/*.yaml")):
        if known.read_bytes() == content:
            return str(known.relative_to(ROOT))
    (made / "study.yaml").write_bytes(content)
    return otherwise


def _require_publishable(made: Path) -> None:
    """Refuse paths of this machine and pictures that are too large.

    Raises:
        PestleError: there is one.
    """
    for path in sorted(made.iterdir()):
        found = _ABSOLUTE.search(path.read_text(encoding="utf-8"))
        if found is not None:
            raise PestleError(
                f"holds a path of this machine: {found[0]}",
                where=path.name,
                fix="In the study give values with paths a label: AXIS: {LABEL: {SETTING: PATH}}.",
            )
        if path.stat().st_size > LARGEST:
            raise PestleError(
                f"is too large for the documentation: {path.stat().st_size:,} bytes",
                where=path.name,
                fix="Let the plot show fewer points or lines.",
            )


def _section(file: Path, name: str, record: Published) -> str:
    """Return a section for a study that the page does not have yet."""
    first = file.read_text(encoding="utf-8").split("\n", 1)[0]
    title = first.lstrip("# ").rstrip(".").replace(", small:", ":") if first[:1] == "#" else name
    lines = [f"## {title}", "", f"<!-- study: {name} -->", "<!-- end -->"]
    for one in record.tables:
        lines += ["", f"<!-- table: {name}/{one} -->", "<!-- end -->"]
    if record.plots:
        lines += [""]
        lines += [
            f"![{shown.title}](results/{name}/plot-{one}.svg)"
            for one, shown in record.plots.items()
        ]
        captions = dict.fromkeys(one.caption for one in record.plots.values() if one.caption)
        lines += ["", *captions]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--study", type=Path)
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    try:
        out = publish(
            given.folder,
            given.name,
            study=given.study,
            runs=given.runs,
            settings=given.settings,
            note=given.note,
        )
    except PestleError as error:
        sys.exit(f"error: {error.line}")
    print(f"written: {out} and {PAGE}")
