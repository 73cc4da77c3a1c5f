"""Charts, tables and findings of scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pestle.protocols.results import LEVELS, Chart, Column, Finding, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.structures.frame import evenly
from pestle.wording import counted

#: Scans up to which each has rows of its own, and bars in place of violins.
ROWS = 20
BARS = 5
#: Scans that are drawn: the worst, and others evenly spaced from bad to good.
DRAWN = 6

_CONSEQUENCE = {"rmse": "Populations of conformers", "barrier_error": "Rates of turning"}

Found = Mapping[str, Any]


def charts(metrics: Found) -> list[Chart]:
    """RMSE of all scans, and the curves of the worst and some more."""
    potentials, given = metrics["potentials"], metrics["scans"]
    order = _by_error(potentials[metrics["candidate"]]["scans"])
    found = [_overview(potentials, order)]
    for k, name in enumerate(evenly(order, DRAWN)):
        scan = given[name]
        series = [Series("reference", scan["x"], scan["reference"], dashed=True)]
        series += [
            Series(model, scan["x"], found["scans"][name]["energy"])
            for model, found in potentials.items()
        ]
        found.append(
            Chart(
                f"{name}: the worst of {len(order)}" if k == 0 and len(order) > 1 else name,
                scan["x_label"],
                "energy above the reference's minimum (kcal/mol)",
                series,
                size="half" if len(order) == 1 else "small",
            )
        )
    return found


def _overview(potentials: Found, order: list[str]) -> Chart:
    several = len(order) > BARS
    series = []
    for model, found in potentials.items():
        rmse = [found["scans"][name]["rmse"] for name in order]
        if several:
            rmse = [value for value in rmse if value is not None]
        series.append(Series(model, [model] * len(rmse) if several else order, rmse))
    return Chart(
        "Errors of the scans",
        "model" if several else "scan",
        "RMSE of relative energies (kcal/mol)",
        series,
        kind="violin" if several else "bar",
    )


def _by_error(scans: Found) -> list[str]:
    """Scans from the worst to the best; those without a figure first."""
    return sorted(scans, key=lambda n: -np.inf if scans[n]["rmse"] is None else -scans[n]["rmse"])


def tables(metrics: Found) -> list[Table]:
    """A row for each potential, and for each scan where there are few."""
    columns = [
        Column("model"),
        Column("RMSE", "kcal/mol", 3),
        Column("RMSE", "meV", 3),
        Column("median", "kcal/mol", 3),
        Column("mean-aligned RMSE", "kcal/mol", 3),
        Column("barrier error", "kcal/mol", 3),
        Column("worst scan"),
    ]
    rows = []
    for model, found in metrics["potentials"].items():
        figures = [found[key] for key in ("rmse", "rmse_mev", "median", "mean_aligned_rmse")]
        last = found["failed"] or found["worst"]
        rows.append([model, *figures, found["barrier_error"], last])
    count = len(metrics["scans"])
    note = f"Means over {counted(count, 'scan')}, energies relative to the frame in "
    note += "which the reference is lowest; barrier: highest above lowest."
    note += f" Left out: {metrics['unlabelled']}." if metrics["unlabelled"] else ""
    tables = [Table("Scans", columns, rows, note)]
    if 1 < count <= ROWS:
        tables.append(_each(metrics))
    return tables


def _each(metrics: Found) -> Table:
    columns = [Column("scan"), Column("model"), Column("RMSE", "kcal/mol", 3)]
    columns += [Column("barrier", "kcal/mol", 3), Column("error", "kcal/mol", 3)]
    rows: list[list[Any]] = []
    for name, given in metrics["scans"].items():
        rows.append([name, "reference", None, given["barrier"], None])
        for model, found in metrics["potentials"].items():
            scan = found["scans"][name]
            rows.append([name, model, scan["rmse"], scan["barrier"], scan["barrier_error"]])
    return Table("Each scan", columns, rows)


def assess(metrics: Found, thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """The mean RMSE and the mean error of the barriers."""
    found = metrics["potentials"][metrics["candidate"]]
    base = metrics["potentials"].get(metrics["baseline"], {})
    limit = thresholds["rmse_kcal"]
    if found["failed"]:
        text = f"The energy is {found['failed']}: look at the structures named."
        words = limit.words
        return [Finding("torsion", "fail", "error of scans", None, limit.unit, words, text)]
    rmse, barrier = thresholds["rmse_kcal"], thresholds["barrier_kcal"]
    findings = [
        _finding("rmse", "relative energies along scans", found, base, rmse, metrics),
        _finding("barrier_error", "barriers of scans", found, base, barrier, metrics),
    ]
    return sorted(findings, key=lambda f: -LEVELS.index(f.level))


def _finding(
    key: str, what: str, found: Found, base: Found, limit: Threshold, metrics: Found
) -> Finding:
    level, count = limit.level(found[key]), len(metrics["scans"])
    text = f"{what[0].upper()}{what[1:]} are off by {found[key]:.2f} kcal/mol"
    text += f", on average over {count}" if count > 1 else ""
    if base.get(key) is not None:
        text += f" (the foundation by {base[key]:.2f})"
    if key == "rmse" and count > 1:
        worst = found["worst"]
        text += f", the worst {worst} by {found['scans'][worst]['rmse']:.2f}"
    text += "."
    if level != "pass":
        text += f" {_CONSEQUENCE[key]} will be off: add twisted molecules to the training data"
        text += f", such as those of {found['worst']}." if count > 1 else "."
    return Finding("torsion", level, f"error of {what}", found[key], limit.unit, limit.words, text)
