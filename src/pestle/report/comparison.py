"""Several runs on one page: what was done, what came out, what the tests found, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pestle.files import write_text
from pestle.protocols import declarations
from pestle.protocols.results import Chart, Series
from pestle.records.verdict import CountedFinding
from pestle.records.wording import MISSING, count, number, plain
from pestle.report.charts import figures_of
from pestle.report.curves import force_errors, watched_in_words
from pestle.report.error_tables import QUANTITIES, Telling, set_in_words, telling
from pestle.report.figures import REFERENCE_COLOUR, Figure
from pestle.report.models import (
    BASELINE_STYLE,
    CANDIDATE_STYLE,
    SCRATCH_STYLE,
    Models,
    Style,
    models_of,
    other_style,
)
from pestle.report.overview import status_of
from pestle.report.page import render_page
from pestle.report.reading import Results, protocol_place, protocol_title, read_results
from pestle.report.verdict import LEVELS, badge, figure_of, findings

#: Protocols whose worst finding has a column of its own, if any run has one.
HEADLINES = tuple(declared.name for declared in declarations() if declared.headline)


def write_comparison(folders: Sequence[Path], out: Path) -> Path:
    """Write one page that compares several runs.

    Args:
        folders: of runs, or of tests of a model; at least two.
        out: the file.

    Returns:
        The file that was written.

    Raises:
        PestleError: there is no such folder.
    """
    runs = [read_results(Path(folder)) for folder in folders]
    names = distinct_names([folder.path for folder in runs])
    first = (CANDIDATE_STYLE, SCRATCH_STYLE)
    styles = {n: first[k] if k < 2 else other_style(k - 2) for k, n in enumerate(names)}
    by_name = dict(zip(names, runs, strict=True))
    found = {name: telling(run, models_of(run)) for name, run in by_name.items()}
    by_run = {name: errors for name, errors in found.items() if errors is not None}
    figures = comparison_charts(by_name, by_run, styles)
    text = render_page(
        "comparison.html.j2",
        draws=bool(figures),
        n_runs=len(runs),
        runs=[_row(run, n, styles[n], out) for n, run in zip(names, runs, strict=True)],
        headlines=[
            {"title": protocol_title(p), "shown": any(_worst(run, p) for run in runs)}
            for p in HEADLINES
        ],
        figures=figures,
        errors=_errors(by_run, styles),
        tests=_tests(runs),
        sentences=_sentences(names, runs),
    )
    write_text(out, text)
    return out


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in paths]
    names = ["/".join(p[-1:]) for p in parts]
    for length in range(2, max(map(len, parts), default=1) + 1):
        again = {n for n in names if names.count(n) > 1}
        names = [
            "/".join(p[-length:]) if n in again else n for n, p in zip(names, parts, strict=True)
        ]
    return names


def _row(run: Results, name: str, style: Style, out: Path) -> dict[str, Any]:
    """What a run is and what came out, in one row."""
    manifest, found = run.manifest, run.verdict
    report = run.path / "report.html"
    base = found.baseline if found is not None else None
    return {
        "name": name,
        "colour": style.colour,
        "link": _relative(report, out) if report.is_file() else "",
        "badge": badge(found.verdict) if found is not None else None,
        "place": list(LEVELS).index(found.verdict) if found is not None else len(LEVELS),
        "scope": found.scope if found is not None else "",
        "method": plain(run.method_name) if run.is_run else "tested only",
        "foundation": plain(manifest.foundation.name if manifest is not None else base),
        "e0s": plain(manifest.reference_energies.method if manifest is not None else None),
        "status": status_of(run)[1] if manifest is not None else "",
        "headlines": [_headline(run, protocol) for protocol in HEADLINES],
    }


def _relative(target: Path, page: Path) -> str:
    """A link from the page, so that both may be moved together."""
    return quote(os.path.relpath(target.resolve(), page.resolve().parent).replace(os.sep, "/"))


def _findings(run: Results) -> tuple[CountedFinding, ...]:
    return run.verdict.findings if run.verdict is not None else ()


def _worst(run: Results, protocol: str) -> CountedFinding | None:
    """The worst finding of a protocol; the first among equals is what it is about."""
    order = list(LEVELS)
    found = [finding for finding in _findings(run) if finding.protocol == protocol]
    return min(found, key=lambda finding: order.index(finding.level), default=None)


def _headline(run: Results, protocol: str) -> dict[str, Any]:
    found = _worst(run, protocol)
    if found is None:
        return {"text": MISSING, "badge": None, "sort": None, "title": "not tested"}
    return {
        "text": figure_of(found),
        "badge": badge(found.level),
        "sort": repr(found.value) if found.value is not None else None,
        "title": found.quantity,
    }


def _errors(by_run: Mapping[str, Telling], styles: dict[str, Style]) -> dict[str, Any] | None:
    """Errors of each run on its most telling set, with the foundation's beside them."""
    if not by_run:
        return None
    shown = [q for q in QUANTITIES if any(q.rmse(e.tuned) is not None for e in by_run.values())]
    same_set = len({errors.name for errors in by_run.values()}) == 1
    best = {}
    for q in shown:
        known = [v for e in by_run.values() if (v := q.rmse(e.tuned)) is not None]
        best[q.name] = min(known) if same_set and len(by_run) > 1 else None
    return {
        "columns": [(q.heading, q.unit) for q in shown],
        "same_set": same_set,
        "rows": [
            {
                "name": name,
                "colour": styles[name].colour,
                "set": set_in_words(errors.name),
                "frames": count(errors.tuned.n_frames),
                "cells": [
                    cell
                    for q in shown
                    for cell in (
                        _cell(q.rmse(errors.tuned), best[q.name]),
                        _cell(q.mae(errors.tuned), None),
                        _cell(q.rmse(errors.base) if errors.base is not None else None, None),
                    )
                ],
            }
            for name, errors in by_run.items()
        ],
    }


def _cell(value: float | None, best: float | None) -> dict[str, Any]:
    text = number(value)
    return {
        "text": text,
        "sort": repr(value) if value is not None else None,
        "best": best is not None and text == number(best),
    }


def _tests(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """Quantity by quantity, a cell for each run; protocols in their order."""
    by_key: dict[tuple[str, str], list[CountedFinding | None]] = {}
    for k, run in enumerate(runs):
        for found in _findings(run):
            cells = by_key.setdefault((found.protocol, found.quantity), [None] * len(runs))
            old = cells[k]
            # Several findings on one quantity, on several sets: the worst.
            if old is None or _severity(found) > _severity(old):
                cells[k] = found
    rows = []
    for protocol, quantity in sorted(by_key, key=lambda key: protocol_place(key[0])):
        cells = by_key[protocol, quantity]
        rows.append(
            {
                "title": protocol_title(protocol),
                "quantity": quantity,
                "limit": next((c.limit for c in cells if c is not None and c.limit), ""),
                "cells": [
                    {"text": figure_of(c), "badge": badge(c.level)} if c is not None else None
                    for c in cells
                ],
            }
        )
    return rows


def _severity(found: CountedFinding) -> tuple[int, float]:
    return -list(LEVELS).index(found.level), found.value or 0.0


def _sentences(names: Sequence[str], runs: Sequence[Results]) -> list[dict[str, Any]]:
    """Verdict of each run in words, and what was found besides passes."""
    return [
        {
            "name": name,
            "badge": badge(run.verdict.verdict),
            "sentence": run.verdict.sentence,
            "findings": [f for f in findings(run) if f["badge"]["word"] != "PASS"],
        }
        for name, run in zip(names, runs, strict=True)
        if run.verdict is not None
    ]


#: Bars of what a run started from and of what came of it. A run may be called like that as well.
_BEFORE, _AFTER = "\0before", "\0after"
#: A bar for less than a hundredth of the tallest cannot be read; a logarithmic axis shows both.
_SPAN = 30.0


def comparison_charts(
    runs: Mapping[str, Results], by_run: Mapping[str, Telling], styles: dict[str, Style]
) -> list[Figure]:
    """Figures for what several runs have.

    Args:
        runs: name → what the run left.
        by_run: name → its most telling errors, of those that have any.
        styles: of the runs.
    """
    words = Models(
        {**{name: name for name in runs}, _BEFORE: "foundation", _AFTER: "run"},
        {**styles, _BEFORE: BASELINE_STYLE, _AFTER: Style(REFERENCE_COLOUR)},
    )
    charts = [*_curves(runs), *_bars(by_run), *_trade_off(runs, by_run)]
    return figures_of(charts, words, "compared")


def _curves(runs: Mapping[str, Results]) -> list[Chart]:
    """Force error on the validation frames over the epochs."""
    series = []
    for name, run in runs.items():
        points = force_errors(run)
        if points:
            series.append(Series(name, [x for x, _ in points], [y for _, y in points]))
    if not series:
        return []
    kinds = dict.fromkeys(watched_in_words(run) for run in runs.values())
    frames = " or ".join(kinds)
    title, caption = f"Force RMSE, {frames}", "Each on its own frames; epoch 0 is its start."
    axis = f"force RMSE, {frames} (meV/Å)"
    return [Chart(title, "epoch", axis, series, caption=caption, log_y=True, size="wide")]


def _bars(by_run: Mapping[str, Telling]) -> list[Chart]:
    """A bar for each run and one for what it started from."""
    sets_used = dict.fromkeys(set_in_words(errors.name) for errors in by_run.values())
    charts = []
    for q in QUANTITIES:
        after = [q.rmse(errors.tuned) for errors in by_run.values()]
        before = [None if e.base is None else q.rmse(e.base) for e in by_run.values()]
        if all(value is None for value in after):
            continue
        values = [v for v in (*before, *after) if v]
        charts.append(
            Chart(
                f"{q.heading} RMSE, {' or '.join(sets_used)}",
                "run",
                f"{q.heading.lower()} RMSE ({q.unit})",
                [Series(_BEFORE, list(by_run), before), Series(_AFTER, list(by_run), after)],
                kind="bar",
                log_y=bool(values) and max(values) > _SPAN * min(values),
            )
        )
    return charts


def _trade_off(runs: Mapping[str, Results], by_run: Mapping[str, Telling]) -> list[Chart]:
    """What was learnt against what was forgotten: a point for each run (as in Fig. 10)."""
    series, units = [], []
    for name, errors in by_run.items():
        found = [f for f in _findings(runs[name]) if f.protocol == "forgetting"]
        forgot = next((f for f in found if f.value is not None), None)
        if forgot is not None and errors.tuned.forces_rmse is not None:
            series.append(Series(name, [errors.tuned.forces_rmse], [forgot.value]))
            units.append((forgot.quantity, forgot.unit))
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
