"""Plots of a comparison: learning curves over each other, errors beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.protocols.results import Chart, Series
from pestle.report.charts import figures_of
from pestle.report.colours import REFERENCE_COLOUR
from pestle.report.epochs import positive_points, watched, watched_in_words
from pestle.report.error_tables import QUANTITIES, set_in_words
from pestle.report.figures import Figure
from pestle.report.models import BASELINE_STYLE, Models, Style, models_of
from pestle.report.overview import best_set
from pestle.report.run_folder import RunFolder, nested, objects
from pestle.report.wording import is_number

#: Bars of what a run started from and of what came of it. A run may be called like that as well.
_BEFORE, _AFTER = "\0before", "\0after"
#: A bar for less than a hundredth of the tallest cannot be read; a logarithmic axis shows both.
_SPAN = 30.0


def comparison_charts(runs: Mapping[str, RunFolder], styles: dict[str, Style]) -> list[Figure]:
    """Figures for what several runs have.

    Args:
        runs: name → what the run left.
        styles: of the runs.
    """
    labels = {name: name for name in runs}
    words = Models(
        {**labels, _BEFORE: "foundation", _AFTER: "run"},
        {**styles, _BEFORE: BASELINE_STYLE, _AFTER: Style(REFERENCE_COLOUR)},
    )
    charts = [*_curves(runs), *_bars(runs), *_trade_off(runs)]
    return figures_of(charts, words, "compared")


def _curves(runs: Mapping[str, RunFolder]) -> list[Chart]:
    """Force error on the validation frames over the epochs."""
    series = []
    for name, run in runs.items():
        points = positive_points(run.metrics, lambda r: watched(r).get("forces_rmse"))
        if points:
            series.append(Series(name, [x for x, _ in points], [y for _, y in points]))
    if not series:
        return []
    kinds = dict.fromkeys(watched_in_words(run) for run in runs.values())
    frames = " or ".join(kinds)
    title, caption = f"Force RMSE, {frames}", "Each on its own frames; epoch 0 is its start."
    axis = f"force RMSE, {frames} (meV/Å)"
    return [Chart(title, "epoch", axis, series, caption=caption, log_y=True, size="wide")]


def _bars(runs: Mapping[str, RunFolder]) -> list[Chart]:
    """A bar for each run and one for what it started from."""
    found: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for name, run in runs.items():
        models = models_of(run)
        chosen = best_set(run, models)
        if chosen is not None:
            sets = nested(run.errors, "sets", chosen)
            found[name] = (
                chosen,
                nested(sets, models.tuned, "all"),
                nested(sets, models.base, "all"),
            )
    sets_used = list(dict.fromkeys(chosen for chosen, _, _ in found.values()))
    charts = []
    for quantity, (heading, unit) in QUANTITIES.items():
        key = f"{quantity}_rmse"
        if not any(is_number(values.get(key)) for _, values, _ in found.values()):
            continue
        before = [_value(base.get(key)) for _, _, base in found.values()]
        after = [_value(values.get(key)) for _, values, _ in found.values()]
        series = [Series(_BEFORE, list(found), before), Series(_AFTER, list(found), after)]
        values = [v for s in series for v in s.y if v]
        title = f"{heading} RMSE, {' or '.join(map(set_in_words, sets_used))}"
        charts.append(
            Chart(
                title,
                "run",
                f"{heading.lower()} RMSE ({unit})",
                series,
                kind="bar",
                log_y=bool(values) and max(values) > _SPAN * min(values),
            )
        )
    return charts


def _value(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _trade_off(runs: Mapping[str, RunFolder]) -> list[Chart]:
    """What was learnt against what was forgotten: a point for each run (as in Fig. 10)."""
    series, units = [], []
    for name, run in runs.items():
        models = models_of(run)
        chosen = best_set(run, models)
        errors = nested(run.errors, "sets", chosen or "", models.tuned, "all")
        forgot = [
            f
            for f in objects(run.verdict.get("findings"))
            if f.get("protocol") == "forgetting" and is_number(f.get("value"))
        ]
        if forgot and is_number(errors.get("forces_rmse")):
            series.append(Series(name, [errors["forces_rmse"]], [forgot[0]["value"]]))
            units.append((str(forgot[0].get("quantity") or ""), str(forgot[0].get("unit") or "")))
    # Shares and ratios on one axis would be nonsense.
    if len(series) < 2 or len(set(units)) > 1:
        return []
    quantity, unit = units[0]
    return [
        Chart(
            "Learnt and forgotten",
            "force RMSE on the data (meV/Å)",
            f"{quantity} ({unit})" if unit else quantity,
            series,
            kind="points",
            caption="The lower left is best: small errors on the data, little forgotten.",
        )
    ]
