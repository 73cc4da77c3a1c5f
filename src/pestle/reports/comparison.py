"""The page of several runs: settings, errors, plots, cost and findings of the tests."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pestle.files import write_text
from pestle.records.gathered import Cell, Gathered, Row
from pestle.records.verdict import CountedFinding
from pestle.reports.compared_charts import comparison_charts, styles_of
from pestle.reports.contents import Entry, grouped
from pestle.reports.figures import Figure
from pestle.reports.gathering.facts import RunFacts, facts_of
from pestle.reports.gathering.gather import VERDICT, table_of
from pestle.reports.gathering.measured import headlines
from pestle.reports.gathering.sameness import Together, distinct_names, rows_of
from pestle.reports.gathering.shown import Block, blocks_of, text_of, with_spread
from pestle.reports.gathering.spread import cell_of
from pestle.reports.models import Style
from pestle.reports.page import render_page
from pestle.reports.reading import Results, protocol_place, protocol_title, read_results
from pestle.reports.verdict import LEVELS, badge, figure_of, findings, tally
from pestle.wording import MISSING, counted, is_share


@dataclass(frozen=True)
class OfStudy:
    """What a study adds to the page of its runs, before all that is said of the runs.

    Attributes:
        name: of the study.
        tables: name → table of the study.
        figures: its plots.
    """

    name: str
    tables: Mapping[str, Gathered]
    figures: Sequence[Figure]


def write_comparison(folders: Sequence[Path], out: Path, study: OfStudy | None = None) -> Path:
    """Write one page that compares several runs.

    Args:
        folders: folders of runs, or of tests of a model; at least two.
        out: path of the page.
        study: the study that made the runs, if one did.

    Returns:
        The file that was written.

    Raises:
        PestleError: a folder does not exist.
    """
    runs = _facts([read_results(Path(folder), drawn=False) for folder in folders])
    together, gathered = rows_of(runs), table_of(runs)
    names = [row.name for row in gathered.rows[: len(together)]]
    styles = styles_of(names)
    figures = comparison_charts(dict(zip(names, together, strict=True)), gathered, styles)
    tables = _tables_of(study, out) if study is not None else []
    drawn = (
        [replace(figure, title=_as_heading(figure.title)) for figure in study.figures]
        if study is not None
        else []
    )
    blocks = {
        block.key: _block(block, gathered, styles, together, out) for block in blocks_of(gathered)
    }
    errors = [block for key, block in blocks.items() if key.startswith("errors-")]
    others = [blocks[key] for key in ("breadth", "cost") if key in blocks]
    measured = _measured(runs)
    tested = [
        row
        for row in together
        if any(f.findings or set(f.results.protocols) & set(measured) for f in row)
    ]
    tests, sentences = [*_tests(tested), *_headlines(measured, tested)], _sentences(runs)
    # A study that asks for no tests has nothing to say of them.
    show_tests = bool(tests or measured) or study is None
    outcome: list[Entry] = [("study", "Tables and plots of the study", None)] if study else []
    outcome += [("errors", "Errors", None)]
    outcome += [("plots", "Plots", None)] if figures else []
    outcome += [("breadth-and-cost", "Breadth and cost", None)] if others else []
    verdicts: list[Entry] = [("tests", "Tests side by side", None)] if show_tests else []
    verdicts += [("verdicts", "Verdicts in words", None)] if sentences else []
    text = render_page(
        "comparison.html.j2",
        index=grouped({"Outcome": outcome, "Verdict": verdicts}),
        briefs={
            "errors": counted(len(errors), "table") if len(errors) > 1 else "",
            "plots": counted(len(figures), "plot"),
            "tests": counted(len({row["title"] for row in tests}), "test") if tests else "",
            "verdicts": tally(
                [facts.results.verdict.verdict for facts in runs if facts.results.verdict]
            ),
        },
        draws=bool(figures or drawn),
        study=_title(study.name) if study is not None else "",
        show_tests=show_tests,
        study_tables=tables,
        study_figures=drawn,
        measured=[f"{protocol_title(name)} ({counted(n, 'run')})" for name, n in measured.items()],
        n_runs=len(runs),
        n_rows=len(together),
        runs=blocks.pop("runs"),
        errors=errors,
        others=others,
        notes=gathered.notes,
        figures=figures,
        tested=[name for name, row in zip(names, together, strict=True) if row in tested],
        tests=tests,
        sentences=sentences,
    )
    write_text(out, text)
    return out


def _title(name: str) -> str:
    """Return `Study NAME`; a file that is called `study` adds no name."""
    return "Study" if name.lower() == "study" else f"Study {name}"


def _as_heading(name: str) -> str:
    """Return the name of a table or plot of a study as a heading: `by-method` → `By method`."""
    words = re.sub(r"[-_]+", " ", name)
    return words[:1].upper() + words[1:]


def _tables_of(study: OfStudy, out: Path) -> list[dict[str, Any]]:
    """Return the tables of a study, each with its blocks and notes."""
    return [
        {
            "title": _as_heading(name),
            "blocks": [
                _block(block, made, {}, [], out) | {"key": f"study-{k}-{block.key}"}
                for block in blocks_of(made)
                if block.key != "runs"
            ],
            "notes": made.notes,
        }
        for k, (name, made) in enumerate(study.tables.items())
    ]


def _measured(runs: Sequence[RunFacts]) -> Counter[str]:
    """Return what was measured without a verdict: protocol → number of runs."""
    return Counter(
        protocol
        for facts in runs
        if facts.results.verdict is None
        for protocol, result in facts.results.protocols.items()
        if result.about is not None and protocol not in ("errors", "forgetting")
    )


def _headlines(protocols: Iterable[str], together: Sequence[Together]) -> list[dict[str, Any]]:
    """Return rows like those of `_tests` for what was measured without a verdict."""
    rows = []
    for protocol in protocols:
        for filled in headlines(protocol, [facts for row in together for facts in row]):
            cells = [cell_of([filled.find(facts) for facts in row]) for row in together]
            unit = f" {filled.column.unit}" if filled.column.unit else ""
            rows.append(
                {
                    "title": protocol_title(protocol),
                    "quantity": filled.column.heading,
                    "limit": "",
                    "cells": [
                        {"text": with_spread(cell.mean, cell.deviation) + unit, "badge": None}
                        if cell is not None
                        else None
                        for cell in cells
                    ],
                }
            )
    return rows


def figures_of_runs(results: Sequence[Results]) -> list[Figure]:
    """Return the plots of the page of several runs.

    Args:
        results: results of each folder.
    """
    runs = _facts(results)
    together, gathered = rows_of(runs), table_of(runs)
    names = [row.name for row in gathered.rows[: len(together)]]
    by_name = dict(zip(names, together, strict=True))
    return comparison_charts(by_name, gathered, styles_of(names))


def _facts(results: Sequence[Results]) -> list[RunFacts]:
    names = distinct_names([found.path for found in results])
    return [facts_of(found, name) for found, name in zip(results, names, strict=True)]


def _block(
    block: Block,
    gathered: Gathered,
    styles: dict[str, Style],
    together: Sequence[Together],
    out: Path,
) -> dict[str, Any]:
    """Return headings and rows of a block; the block of the runs also has verdicts and links."""
    columns = list(block.columns)
    headings = [(heading, "", True) for heading in block.lead]
    headings += [
        (heading, column.unit, column.kind != "text")
        for heading, column in zip(block.headings, columns, strict=True)
    ]
    verdicts = block.key == "runs" and VERDICT in gathered.columns
    rows = []
    for k, row in enumerate(block.rows):
        shown: list[tuple[Cell | None, str]] = [(None, lead[k]) for lead in block.lead.values()]
        shown += [(row.cells.get(column.key), text_of(row, column)) for column in columns]
        cells = [
            _cell(cell, text) | {"number": kind, "label": f"{heading} {unit}".strip()}
            for (cell, text), (heading, unit, kind) in zip(shown, headings, strict=True)
        ]
        runs = together[k] if block.key == "runs" else []
        rows.append(
            {
                "name": row.name,
                "colour": styles[row.name].colour if row.name in styles else None,
                "foundation": row.kind == "foundation",
                "links": [_link(facts, out) for facts in runs],
                "verdict": _verdict(row) if verdicts else None,
                "cells": cells,
            }
        )
    return {
        "key": block.key,
        "title": block.title,
        "alike": "; ".join(block.alike),
        "verdicts": verdicts,
        "headings": headings,
        "rows": rows,
    }


def _cell(cell: Cell | None, text: str) -> dict[str, Any]:
    sort = repr(cell.mean) if cell is not None and cell.mean is not None else None
    best = cell is not None and cell.best
    return {"text": text, "sort": sort, "empty": text == MISSING, "best": best}


def _verdict(row: Row) -> dict[str, Any]:
    """Return the worst verdict of a row, and how many of its runs have it."""
    cell = row.cells.get(VERDICT.key)
    if cell is None or cell.level is None:
        return {"badge": None, "text": "", "place": len(LEVELS)}
    alike = cell.text.startswith(f"{cell.level} (")
    return {
        "badge": badge(cell.level),
        "text": cell.text.partition("(")[2].rstrip(")") if alike else cell.text,
        "place": list(LEVELS).index(cell.level),
    }


def _link(facts: RunFacts, out: Path) -> dict[str, Any]:
    """Return name, seed and status of a run, and the address of its own page if there is one."""
    report = facts.results.path / "report.html"
    target = os.path.relpath(report.resolve(), out.resolve().parent).replace(os.sep, "/")
    return {
        "name": facts.run.name,
        "seed": facts.run.seed,
        "status": facts.run.status if facts.run.status != "finished" else "",
        # The address is relative, so that page and runs can be moved together.
        "href": quote(target) if report.is_file() else "",
    }


def _tests(together: Sequence[Together]) -> list[dict[str, Any]]:
    """Return a row for each quantity of the tests, with a cell for each row of runs."""
    keys: dict[tuple[str, str], str] = {}
    for row in together:
        for facts in row:
            for found in facts.findings:
                limit = keys.get((found.protocol, found.quantity), "")
                keys[found.protocol, found.quantity] = limit or found.limit
    return [
        {
            "title": protocol_title(protocol),
            "quantity": quantity,
            "limit": keys[protocol, quantity],
            "cells": [_finding(row, protocol, quantity) for row in together],
        }
        for protocol, quantity in sorted(keys, key=lambda key: protocol_place(key[0]))
    ]


def _finding(row: Together, protocol: str, quantity: str) -> dict[str, Any] | None:
    """Return the worst finding on a quantity, with mean and spread over the runs of a row."""
    worst: list[CountedFinding] = []
    for facts in row:
        # A run may have findings on one quantity for several sets: the worst counts.
        mine = [f for f in facts.findings if (f.protocol, f.quantity) == (protocol, quantity)]
        if mine:
            worst.append(max(mine, key=_severity))
    if not worst:
        return None
    text = figure_of(worst[0])
    cell = cell_of([found.value for found in worst])
    if len(worst) > 1 and cell is not None:
        unit = worst[0].unit
        if cell.mean is not None and is_share(cell.mean, unit):
            deviation = None if cell.deviation is None else 100 * cell.deviation
            text = f"{with_spread(100 * cell.mean, deviation)} % {unit}"
        else:
            text = f"{with_spread(cell.mean, cell.deviation)} {unit}".strip()
    level = max(worst, key=_severity).level
    return {"text": text, "badge": badge(level)}


def _severity(found: CountedFinding) -> tuple[int, float]:
    return -list(LEVELS).index(found.level), found.value or 0.0


def _sentences(runs: Sequence[RunFacts]) -> list[dict[str, Any]]:
    """Return the verdict of each run in words, and its findings except passes."""
    return [
        {
            "name": facts.run.name,
            "badge": badge(facts.results.verdict.verdict),
            "sentence": facts.results.verdict.sentence,
            "findings": [f for f in findings(facts.results) if f["badge"]["word"] != "PASS"],
        }
        for facts in runs
        if facts.results.verdict is not None
    ]
