"""Plots of a study: a figure against an axis or over the training, with bands over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pestle.errors import PestleError, nearest
from pestle.protocols.results import Chart, Series
from pestle.records.metrics import EvaluatedErrors, MetricsLine
from pestle.reports.charts import figures_of
from pestle.reports.compared_charts import styles_of
from pestle.reports.figures import Figure
from pestle.reports.gathering.spread import cell_of
from pestle.reports.models import Models
from pestle.study.figures import Figures, TrainedCell
from pestle.study.study_file import PlotSettings
from pestle.study.tables import axes_in, grouped, require_axes, spoken
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
#: Sets on which a run is evaluated while it trains.
WATCHED = ("valid", "replay")


def plot(
    name: str,
    asked: PlotSettings,
    cells: Sequence[TrainedCell],
    figures: Figures,
    seeds: Sequence[str],
) -> list[Figure]:
    """One plot of a study; nothing where no cell has what it shows.

    Args:
        name: of the plot.
        asked: what it shows.
        cells: of the study that are trained.
        figures: what can be asked of them.
        seeds: axes over which means are taken unless the plot says others.

    Raises:
        PestleError: an axis or a figure is unknown.
    """
    where = f"plots.{name}"
    over = list(seeds) if asked.over is None else asked.over
    axes = axes_in(cells)
    if asked.x not in COURSE:
        require_axes([asked.x], cells, f"{where}.x")
    require_axes([*(asked.lines or ()), *(asked.over or ())], cells, where)
    told_apart = [axis for axis in axes if axis not in (asked.x, *over)]
    lines = told_apart if asked.lines is None else asked.lines
    by_line = {spoken(key) or "all": members for key, members in grouped(cells, lines).items()}
    if asked.x in COURSE:
        chart = _course(name, asked, by_line, where)
    else:
        chart = _against(name, asked, by_line, figures, where)
    words = Models({line: line for line in by_line}, styles_of(list(by_line)))
    return [
        Figure(name, one.title, one.caption, one.plot, one.shape, one.square)
        for one in figures_of([chart], words, name)
    ]


def _against(
    name: str,
    asked: PlotSettings,
    by_line: dict[str, list[TrainedCell]],
    figures: Figures,
    where: str,
) -> Chart:
    """A figure against an axis: a line where that is a number, else bars."""
    filled = figures.of(asked.y, where)
    given = [c.axes[asked.x] for cells in by_line.values() for c in cells if asked.x in c.axes]
    numeric = all(is_number(value) for value in given)
    series, several = [], False
    for line, members in by_line.items():
        points: list[tuple[Any, float, float | None]] = []
        for (x,), same in grouped(members, [asked.x]).items():
            cell = cell_of([filled.find(one.facts) for one in same])
            if x is None or cell is None or cell.mean is None:
                continue
            several |= cell.n > 1
            points.append((x if numeric else spoken((x,)), cell.mean, cell.deviation))
        if numeric:
            points.sort(key=lambda point: point[0])
        series.append(_series(line, points))
    column = filled.column
    heading = f"{column.heading}, {column.over}" if column.over else column.heading
    return Chart(
        name,
        asked.x,
        f"{heading} ({column.unit})" if column.unit else heading,
        series,
        kind="line" if numeric else "bar",
        caption=_caption(several),
        log_y=asked.log,
        size="wide",
    )


def _course(
    name: str, asked: PlotSettings, by_line: dict[str, list[TrainedCell]], where: str
) -> Chart:
    """A figure over the training, the mean of runs wherever all of them were evaluated."""
    of_set, _, what = asked.y.partition(".")
    if of_set not in WATCHED or what not in CURVES:
        known = [f"{one}.{figure}" for one in WATCHED for figure in CURVES]
        raise PestleError(
            f"there is no learning curve of '{asked.y}'",
            where=f"{where}.y",
            fix=f"{nearest(asked.y, known)} There are {', '.join(known)}.".lstrip(),
        )
    series, several = [], False
    for line, members in by_line.items():
        values: dict[float, list[float]] = defaultdict(list)
        for cell in members:
            for one in cell.facts.results.metrics:
                errors = _errors(one, of_set)
                value = errors.of(what) if errors is not None else None
                if value is not None:
                    values[one.epoch if asked.x == "epoch" else one.step].append(value)
        most = max(map(len, values.values()), default=0)
        several |= most > 1
        points = []
        for x in sorted(values):
            mean = cell_of(values[x])
            # Where a run has ended the mean would jump.
            if mean is not None and mean.mean is not None and mean.n == most:
                points.append((x, mean.mean, mean.deviation))
        series.append(_series(line, points))
    unit = f" ({CURVES[what]})" if CURVES[what] else ""
    words = {"valid": "validation", "replay": "held-out replay structures"}
    return Chart(
        name,
        {"epoch": "epoch", "step": "updates"}[asked.x],
        f"{what.replace('_', ' ')}, {words[of_set]}{unit}",
        series,
        caption=_caption(several),
        log_y=asked.log,
        size="wide",
    )


def _errors(line: MetricsLine, of_set: str) -> EvaluatedErrors | None:
    return line.watched if of_set == "valid" else line.replay


def _series(line: str, points: Sequence[tuple[Any, float, float | None]]) -> Series:
    deviations = [deviation for _, _, deviation in points]
    return Series(
        line,
        [x for x, _, _ in points],
        [y for _, y, _ in points],
        error=deviations if any(one is not None for one in deviations) else None,
    )


def _caption(several: bool) -> str:
    return "Bands and bars: one standard deviation over seeds (n − 1)." if several else ""
