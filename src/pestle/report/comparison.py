"""Several runs on one page: what was done, what came out, what the tests found, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pestle.files import write_text
from pestle.protocols.results import Chart, Series
from pestle.records.wording import MISSING, count, is_number, number, plain
from pestle.report.charts import figures_of
from pestle.report.curves import positive_points, watched, watched_in_words
from pestle.report.error_tables import QUANTITIES, set_in_words
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
from pestle.report.overview import best_set, status_of
from pestle.report.page import render_page
from pestle.report.protocol_results import protocol_place, protocol_title
from pestle.report.run_folder import RunFolder, nested, objects, read_run_folder
from pestle.report.verdict import LEVELS, badge, figure_of, findings

#: Protocols whose worst finding has a column of its own, if any run has one.
HEADLINES = ("forgetting", "md", "rss", "dimers", "rdf", "neb", "torsion")


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
    runs = [read_run_folder(Path(folder)) for folder in folders]
    names = distinct_names([folder.path for folder in runs])
    styles = {name: _style(k) for k, name in enumerate(names)}
    figures = comparison_charts(dict(zip(names, runs, strict=True)), styles)
    text = render_page(
        "comparison.html.j2",
        draws=bool(figures),
        n_runs=len(runs),
        runs=[_row(run, n, styles[n], out) for n, run in zip(names, runs, strict=True)],
        headlines=_headlines(runs),
        figures=figures,
        errors=_errors(names, runs, styles),
        tests=_tests(names, runs),
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


def _style(place: int) -> Style:
    return (CANDIDATE_STYLE, SCRATCH_STYLE)[place] if place < 2 else other_style(place - 2)


def _row(run: RunFolder, name: str, style: Style, out: Path) -> dict[str, Any]:
    """What a run is and what came out, in one row."""
    method, foundation = run.part("method"), run.part("foundation")
    report = run.path / "report.html"
    return {
        "name": name,
        "colour": style.colour,
        "link": _relative(report, out) if report.is_file() else "",
        "badge": badge(run.verdict.get("verdict")) if run.verdict else None,
        "place": list(LEVELS).index(run.verdict["verdict"]) if _judged(run) else len(LEVELS),
        "scope": str(run.verdict.get("scope") or ""),
        "method": plain(method.get("name")) if run.is_run else "tested only",
        "foundation": plain(foundation.get("name") or run.verdict.get("baseline")),
        "e0s": plain(run.part("reference_energies").get("method")),
        "status": status_of(run)[1] if run.manifest else "",
        "headlines": [_headline(run, protocol) for protocol in HEADLINES],
    }


def _judged(run: RunFolder) -> bool:
    return run.verdict.get("verdict") in LEVELS


def _relative(target: Path, page: Path) -> str:
    """A link from the page, so that both may be moved together."""
    return quote(os.path.relpath(target.resolve(), page.resolve().parent).replace(os.sep, "/"))


def _worst(run: RunFolder, protocol: str) -> dict[str, Any] | None:
    """The worst finding of a protocol; the first among equals is what it is about."""
    order = list(LEVELS)
    found = [f for f in objects(run.verdict.get("findings")) if f.get("protocol") == protocol]
    found.sort(key=lambda f: order.index(f["level"]) if f.get("level") in order else len(order))
    return found[0] if found else None


def _headline(run: RunFolder, protocol: str) -> dict[str, Any]:
    found = _worst(run, protocol)
    if found is None:
        return {"text": MISSING, "badge": None, "sort": None, "title": "not tested"}
    value = found.get("value")
    return {
        "text": figure_of(found),
        "badge": badge(found.get("level")),
        "sort": repr(value) if is_number(value) else None,
        "title": str(found.get("quantity") or ""),
    }


def _headlines(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Protocols with a column: those that were run somewhere."""
    return [
        {"title": protocol_title(p), "shown": any(_worst(run, p) for run in runs)}
        for p in HEADLINES
    ]


def _errors(
    names: Sequence[str], runs: Sequence[RunFolder], styles: dict[str, Style]
) -> dict[str, Any] | None:
    """Errors of each run on its most telling set, with the foundation's beside them."""
    rows, shown = [], []
    for name, run in zip(names, runs, strict=True):
        models = models_of(run)
        chosen = best_set(run, models)
        if chosen is None:
            continue
        found = nested(run.errors, "sets", chosen)
        values, base = nested(found, models.tuned, "all"), nested(found, models.base, "all")
        rows.append((name, chosen, values, base))
        shown += [q for q in QUANTITIES if is_number(values.get(f"{q}_rmse"))]
    if not rows:
        return None
    quantities = [q for q in QUANTITIES if q in shown]
    best = {
        q: min(
            (v[f"{q}_rmse"] for _, _, v, _ in rows if is_number(v.get(f"{q}_rmse"))), default=None
        )
        for q in quantities
    }
    same_set = len({chosen for _, chosen, _, _ in rows}) == 1
    return {
        "columns": [QUANTITIES[q] for q in quantities],
        "same_set": same_set,
        "rows": [
            {
                "name": name,
                "colour": styles[name].colour,
                "set": set_in_words(chosen),
                "frames": count(values.get("n_frames")),
                "cells": [
                    cell
                    for q in quantities
                    for cell in (
                        _cell(
                            values.get(f"{q}_rmse"), best[q] if same_set and len(rows) > 1 else None
                        ),
                        _cell(values.get(f"{q}_mae"), None),
                        _cell(base.get(f"{q}_rmse"), None),
                    )
                ],
            }
            for name, chosen, values, base in rows
        ],
    }


def _cell(value: Any, best: float | None) -> dict[str, Any]:
    text = number(value)
    return {
        "text": text,
        "sort": repr(value) if is_number(value) else None,
        "best": best is not None and text == number(best),
    }


def _tests(names: Sequence[str], runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Quantity by quantity, a cell for each run; protocols in their order."""
    by_key: dict[tuple[str, str], list[dict[str, Any] | None]] = {}
    for k, run in enumerate(runs):
        for found in objects(run.verdict.get("findings")):
            key = (str(found.get("protocol") or ""), str(found.get("quantity") or ""))
            cells = by_key.setdefault(key, [None] * len(runs))
            old = cells[k]
            # Several findings on one quantity, on several sets: the worst.
            if old is None or _severity(found) > _severity(old):
                cells[k] = found
    rows = []
    for protocol, quantity in sorted(by_key, key=lambda key: protocol_place(key[0])):
        cells = by_key[protocol, quantity]
        limits = [str(c["limit"]) for c in cells if c and c.get("limit")]
        rows.append(
            {
                "title": protocol_title(protocol),
                "quantity": quantity,
                "limit": limits[0] if limits else "",
                "cells": [
                    {"text": figure_of(c), "badge": badge(c.get("level"))} if c else None
                    for c in cells
                ],
            }
        )
    return rows


def _severity(found: dict[str, Any]) -> tuple[int, float]:
    order = list(reversed(LEVELS))
    level = order.index(found["level"]) if found.get("level") in order else -1
    return level, found["value"] if is_number(found.get("value")) else 0.0


def _sentences(names: Sequence[str], runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Verdict of each run in words, and what was found besides passes."""
    return [
        {
            "name": name,
            "badge": badge(run.verdict.get("verdict")),
            "sentence": str(run.verdict.get("sentence") or ""),
            "findings": [f for f in findings(run) if f["badge"]["word"] != "PASS"],
        }
        for name, run in zip(names, runs, strict=True)
        if run.verdict
    ]


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
