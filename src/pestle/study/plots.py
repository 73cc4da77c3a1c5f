"""Plots of a study: a figure against an axis or over the training, with bands over seeds; curves
and errors of frames, which curves.py and violins.py make charts of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pestle.errors import PestleError, nearest
from pestle.protocols.results import Chart, Series
from pestle.records.gathered import Cell
from pestle.records.metrics import EvaluatedErrors, MetricsLine
from pestle.records.study import StudyPlan
from pestle.reports.charts import figures_of
from pestle.reports.compared_charts import styles_of
from pestle.reports.figures import Figure
from pestle.reports.gathering.spread import cell_of
from pestle.reports.models import BASELINE_STYLE, REFERENCE, Models, other_style
from pestle.study.curves import KINDS, curve_charts
from pestle.study.figures import Figures, TrainedCell
from pestle.study.study_file import PlotSettings
from pestle.study.tables import (
    averaged_over,
    axes_in,
    grouped,
    part_shown,
    require_values,
    spoken,
)
from pestle.study.violins import violin_charts
from pestle.wording import is_number

#: What a learning curve may run over.
COURSE = ("epoch", "step")
#: What a learning curve may show, with its unit.
CURVES = {
    "loss": "",
    "energy_rmse": "meV/atom",
    "energy_mae": "meV/atom",
    "forces_rmse": "meV/Å",
    "forces_mae": "meV/Å",
}
#: The same in words.
_IN_WORDS = {
    "loss": "loss",
    "energy_rmse": "energy RMSE",
    "energy_mae": "energy MAE",
    "forces_rmse": "force RMSE",
    "forces_mae": "force MAE",
}
#: Sets on which a run is evaluated while it trains.
WATCHED = ("valid", "replay")


def plot(
    name: str,
    asked: PlotSettings,
    cells: Sequence[TrainedCell],
    figures: Figures,
    whole: StudyPlan,
    only: Sequence[str] = (),
) -> list[Figure]:
    """The pictures of a plot of a study; nothing where no cell has what it shows.

    Args:
        name: of the plot.
        asked: what it shows.
        cells: of the study that are trained.
        figures: what can be asked of them.
        whole: plan of the study; means are over its seeds unless the plot says others.
        only: AXIS=VALUE each, by which the cells were chosen.

    Raises:
        PestleError: no cell has a value of the axis of x, or the figure.
    """
    where = f"plots.{name}"
    over = list(whole.seeds) if asked.over is None else asked.over
    axes = axes_in(cells)
    x = asked.x
    if asked.kind == "violins" and x is None:
        x = next((axis for axis in axes if axis not in over), None)
    across = [] if x is None or (asked.kind == "figure" and x in COURSE) else [x]
    require_values(across, cells, f"{where}.x")
    told_apart = [axis for axis in axes if axis not in (x, *over)]
    lines = told_apart if asked.lines is None else asked.lines
    by_line = {spoken(key) or "all": members for key, members in grouped(cells, lines).items()}
    if asked.kind in KINDS:
        charts = curve_charts(
            KINDS[asked.kind], by_line, asked.of, where, foundation=asked.foundation
        )
    elif asked.kind == "violins":
        by_category = {
            line: {spoken(key) or "all": same for key, same in grouped(members, across).items()}
            for line, members in by_line.items()
        }
        charts = violin_charts(
            asked.y or "forces_mae",
            by_category,
            asked.of,
            where,
            x_label=x or "",
            foundation=asked.foundation,
            log=asked.log,
        )
    elif asked.x in COURSE:
        charts = {"": _course(name, asked, by_line, where)}
    else:
        charts = {"": _against(name, asked, by_line, figures, where)}
    pooled = averaged_over(cells, [*lines, *([x] if x is not None else [])], over)
    part = part_shown(cells, whole, only, ())
    drawn = [s.name for chart in charts.values() for s in chart.series if s.name != REFERENCE]
    bases = list(dict.fromkeys(one for one in drawn if one not in by_line))
    styles = styles_of(list(by_line)) | {
        base: BASELINE_STYLE if k == 0 else other_style(len(by_line) + k)
        for k, base in enumerate(bases)
    }
    models = Models({one: one for one in (*by_line, *bases)}, styles)
    found = []
    for of, chart in charts.items():
        title = f"{name}-{of}" if len(charts) > 1 else name
        for one in figures_of([chart], models, name):
            file = re.sub(r"[^\w.+-]+", "_", title)
            caption = " ".join(words for words in (one.caption, pooled, part) if words)
            found.append(Figure(file, one.title, caption, one.plot, one.shape, one.square))
    return found


def _against(
    name: str,
    asked: PlotSettings,
    by_line: dict[str, list[TrainedCell]],
    figures: Figures,
    where: str,
) -> Chart:
    """A figure against an axis: a line where that is a number, else bars."""
    axis = asked.x or ""
    filled = figures.of(asked.y or "", where)
    given = [c.axes[axis] for cells in by_line.values() for c in cells if axis in c.axes]
    numeric = all(is_number(value) for value in given)
    series: list[Series] = []
    for line, members in by_line.items():
        points: list[tuple[Any, Cell]] = []
        for (x,), same in grouped(members, [axis]).items():
            cell = cell_of([filled.find(one.facts) for one in same])
            if x is None or cell is None or cell.mean is None:
                continue
            points.append((x if numeric else spoken((x,)), cell))
        if numeric:
            points.sort(key=lambda point: point[0])
        series.append(_series(line, points))
    column = filled.column
    heading = f"{column.heading}, {column.over}" if column.over else column.heading
    return Chart(
        name,
        axis,
        f"{heading} ({column.unit})" if column.unit else heading,
        series,
        kind="line" if numeric else "bar",
        caption=_caption(series),
        log_y=asked.log,
        size="wide",
    )


def _course(
    name: str, asked: PlotSettings, by_line: dict[str, list[TrainedCell]], where: str
) -> Chart:
    """A figure over the training, the mean of runs wherever all of them were evaluated."""
    of_set, _, what = (asked.y or "").partition(".")
    if of_set not in WATCHED or what not in CURVES:
        known = [f"{one}.{figure}" for one in WATCHED for figure in CURVES]
        raise PestleError(
            f"there is no learning curve of '{asked.y}'",
            where=f"{where}.y",
            fix=f"{nearest(asked.y or '', known)} There are {', '.join(known)}.".lstrip(),
        )
    series: list[Series] = []
    for line, members in by_line.items():
        values: dict[float, list[float]] = defaultdict(list)
        for cell in members:
            for one in cell.facts.results.metrics:
                errors = _errors(one, of_set)
                value = errors.of(what) if errors is not None else None
                if value is not None:
                    values[one.epoch if asked.x == "epoch" else one.step].append(value)
        most = max(map(len, values.values()), default=0)
        points: list[tuple[Any, Cell]] = []
        for x in sorted(values):
            mean = cell_of(values[x])
            # Where a run has ended the mean would jump.
            if mean is not None and mean.mean is not None and mean.n == most:
                points.append((x, mean))
        series.append(_series(line, points))
    unit = f" ({CURVES[what]})" if CURVES[what] else ""
    words = {"valid": "validation", "replay": "held-out replay structures"}
    return Chart(
        name,
        "epoch" if asked.x == "epoch" else "updates",
        f"{_IN_WORDS[what]}, {words[of_set]}{unit}",
        series,
        caption=_caption(series),
        log_y=asked.log,
        size="wide",
    )


def _errors(line: MetricsLine, of_set: str) -> EvaluatedErrors | None:
    return line.watched if of_set == "valid" else line.replay


def _series(line: str, points: Sequence[tuple[Any, Cell]]) -> Series:
    deviations = [cell.deviation for _, cell in points]
    return Series(
        line,
        [x for x, _ in points],
        [cell.mean for _, cell in points],
        error=deviations if any(one is not None for one in deviations) else None,
        runs=[cell.n for _, cell in points],
    )


def _caption(series: Sequence[Series]) -> str:
    numbers = sorted({n for one in series for n in one.runs or ()})
    if not numbers or numbers == [1]:
        return ""
    runs = ", ".join(map(str, numbers))
    return f"Bands and bars: one standard deviation (n − 1) over {runs} runs."
