"""Plots of several runs: learning curves, errors beside those of the foundations, and what was
learned against what was forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.metrics import ALL
from pestle.protocols.results import Chart, Series
from pestle.records.gathered import Gathered
from pestle.reports.charts import figures_of
from pestle.reports.curves import force_errors, watched_in_words
from pestle.reports.error_tables import FORCES, QUANTITIES, set_in_words, set_names
from pestle.reports.figures import Figure
from pestle.reports.gathering.sameness import Together
from pestle.reports.gathering.spread import cell_of
from pestle.reports.models import (
    BASELINE_STYLE,
    CANDIDATE_STYLE,
    SCRATCH_STYLE,
    Models,
    Style,
    other_style,
)
from pestle.reports.reading import REPLAY_SET

#: Names of the bars of foundation and run. They begin with a character that no run can have.
_BEFORE, _AFTER = "\0before", "\0after"
#: If the largest value is more than so many times the smallest, the axis is logarithmic.
_SPAN = 30.0

#: Name of a row → its runs.
ByName = Mapping[str, Together]


def styles_of(names: Sequence[str]) -> dict[str, Style]:
    """Return a style for each row.

    Args:
        names: names of the rows.
    """
    first = (CANDIDATE_STYLE, SCRATCH_STYLE)
    return {name: first[k] if k < 2 else other_style(k - 2) for k, name in enumerate(names)}


def comparison_charts(rows: ByName, gathered: Gathered, styles: dict[str, Style]) -> list[Figure]:
    """Return the figures that compare several runs.

    Args:
        rows: name of a row → its runs.
        gathered: table of the same rows.
        styles: name of a row → its style.
    """
    words = Models(
        {**{name: name for name in rows}, _BEFORE: "foundation", _AFTER: "run"},
        {**styles, _BEFORE: BASELINE_STYLE, _AFTER: CANDIDATE_STYLE},
    )
    told = telling_set(rows)
    charts = [*_curves(rows)]
    if told:
        charts += [*_bars(rows, gathered, told), *_trade_off(rows, told)]
    return figures_of(charts, words, "compared")


def telling_set(rows: ByName) -> str:
    """Return the set on which most rows have errors; of several the most informative one.

    Args:
        rows: name of a row → its runs.

    Returns:
        Name of the set; empty if no row has errors.
    """
    counts = {
        name: sum(any(name in facts.errors for facts in row) for row in rows.values())
        for name in set_names({n: None for row in rows.values() for f in row for n in f.errors})
        if name != REPLAY_SET
    }
    return max(counts, key=lambda name: counts[name], default="")


def _curves(rows: ByName) -> list[Chart]:
    """Return the chart of force errors over the epochs, with a line for each seed."""
    runs = [facts.results for row in rows.values() for facts in row]
    series = [
        Series(name, [x for x, _ in points], [y for _, y in points])
        for name, row in rows.items()
        for facts in row
        if (points := force_errors(facts.results))
    ]
    if not series:
        return []
    frames = " or ".join(dict.fromkeys(watched_in_words(run) for run in runs))
    title, caption = f"Force RMSE, {frames}", "Each run on its own frames; epoch 0 is its start."
    if any(len(row) > 1 for row in rows.values()):
        caption += " A line for each seed."
    axis = f"force RMSE, {frames} (meV/Å)"
    return [Chart(title, "epoch", axis, series, caption=caption, log_y=True, size="wide")]


def _bars(rows: ByName, gathered: Gathered, told: str) -> list[Chart]:
    """Return a chart for each quantity: a bar for each row, and one for its foundation."""
    cells = {row.name: row.cells for row in gathered.rows}
    charts = []
    for q in QUANTITIES:
        key = f"{told}.{ALL}.{q.name}_rmse"
        after = {name: cells[name][key] for name in rows if key in cells[name]}
        if not after:
            continue
        before = [
            cell_of([q.rmse(errors[ALL]) if ALL in errors else None for errors in judged])
            for name in after
            for judged in [[facts.foundation_errors.get(told, {}) for facts in rows[name]]]
        ]
        values = [c.mean for c in (*before, *after.values()) if c is not None and c.mean]
        deviations = [cell.deviation for cell in after.values()]
        spread = deviations if any(d is not None for d in deviations) else None
        charts.append(
            Chart(
                f"{q.heading} RMSE, {set_in_words(told)}",
                "run",
                f"{q.heading.lower()} RMSE ({q.unit})",
                [
                    Series(_BEFORE, list(after), [c.mean if c else None for c in before]),
                    Series(
                        _AFTER,
                        list(after),
                        [c.mean for c in after.values()],
                        error=spread,
                        runs=[c.n for c in after.values()] if spread else None,
                    ),
                ],
                kind="bar",
                caption="Error bars: standard deviation over seeds." if spread else "",
                log_y=bool(values) and max(values) > _SPAN * min(values),
            )
        )
    return charts


def _trade_off(rows: ByName, told: str) -> list[Chart]:
    """Return the chart of what was learned against what was forgotten: a point for each run."""
    series, units = [], set()
    for name, row in rows.items():
        points = []
        for facts in row:
            found = [f for f in facts.findings if f.protocol == "forgetting"]
            forgot = next((f for f in found if f.value is not None), None)
            judged = facts.errors.get(told, {}).get(ALL)
            learnt = FORCES.rmse(judged) if judged is not None else None
            if forgot is not None and learnt is not None:
                points.append((learnt, forgot.value))
                units.add((forgot.quantity, forgot.unit))
        if points:
            series.append(Series(name, [x for x, _ in points], [y for _, y in points]))
    # Figures with different units do not fit on one axis.
    if sum(len(one.x) for one in series) < 2 or len(units) > 1:
        return []
    quantity, unit = next(iter(units))
    return [
        Chart(
            "Learned and forgotten",
            "force RMSE on the data (meV/Å)",
            f"{quantity} ({unit})" if unit else quantity,
            series,
            kind="points",
            caption="Best is the lower left: small errors on the data, and little forgotten.",
        )
    ]
