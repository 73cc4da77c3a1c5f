"""Charts, tables and findings of scans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.protocols.torsion.numbers import PotentialNumbers, TorsionNumbers
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding
from pestle.structures.frame import evenly
from pestle.wording import counted

#: Largest number of scans with rows of their own, and with bars instead of violins.
ROWS = 20
BARS = 5
#: Number of scans that are drawn: the worst, and others evenly spaced in the order of errors.
DRAWN = 6


def charts(measured: Measured[TorsionNumbers]) -> list[Chart]:
    """Return a chart of the RMSE of all scans, and charts of the worst and some other scans."""
    potentials, given = measured.numbers.potentials, measured.numbers.scans
    scans = potentials[measured.about.candidate].scans
    errors = {name: math.inf if scan.rmse is None else scan.rmse for name, scan in scans.items()}
    order = sorted(errors, key=lambda name: -errors[name])
    found = [_overview(potentials, order)]
    for k, name in enumerate(evenly(order, DRAWN)):
        scan = given[name]
        series = [Series("reference", scan.x, list(scan.reference), dashed=True)]
        series += [
            Series(model, scan.x, numbers.scans[name].energy)
            for model, numbers in potentials.items()
        ]
        found.append(
            Chart(
                f"{name}: the worst of {len(order)}" if k == 0 and len(order) > 1 else name,
                scan.x_label,
                "energy above the reference's minimum (kcal/mol)",
                series,
                size="half" if len(order) == 1 else "small",
            )
        )
    return found


def _overview(potentials: Mapping[str, PotentialNumbers], order: list[str]) -> Chart:
    several = len(order) > BARS
    series = []
    for model, found in potentials.items():
        rmse = [found.scans[name].rmse for name in order]
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


def tables(measured: Measured[TorsionNumbers]) -> list[Table]:
    """Return a table with a row for each potential and, for few scans, one for each scan."""
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
    for model, found in measured.numbers.potentials.items():
        figures = [found.rmse, found.rmse_mev, found.median, found.mean_aligned_rmse]
        rows.append([model, *figures, found.barrier_error, found.failed or found.worst])
    count, unlabelled = len(measured.numbers.scans), measured.numbers.unlabelled
    note = f"Means over {counted(count, 'scan')}, energies relative to the frame in "
    note += "which the reference is lowest; barrier: highest minus lowest energy."
    note += f" Left out: {unlabelled}." if unlabelled else ""
    tables = [Table("Scans", columns, rows, note)]
    if 1 < count <= ROWS:
        tables.append(_each(measured.numbers))
    return tables


def _each(numbers: TorsionNumbers) -> Table:
    columns = [Column("scan"), Column("model"), Column("RMSE", "kcal/mol", 3)]
    columns += [Column("barrier", "kcal/mol", 3), Column("error", "kcal/mol", 3)]
    rows: list[list[Any]] = []
    for name, given in numbers.scans.items():
        rows.append([name, "reference", None, given.barrier, None])
        for model, found in numbers.potentials.items():
            scan = found.scans[name]
            rows.append([name, model, scan.rmse, scan.barrier, scan.barrier_error])
    return Table("Each scan", columns, rows)


def assess(
    measured: Measured[TorsionNumbers], thresholds: Mapping[str, Threshold]
) -> list[Finding]:
    """Assess the mean RMSE and the mean error of the barriers.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    potentials = measured.numbers.potentials
    found = potentials[measured.about.candidate]
    base = potentials.get(measured.about.baseline or "")
    rmse, barrier = thresholds["rmse_kcal"], thresholds["barrier_kcal"]
    if found.failed or found.rmse is None or found.barrier_error is None:
        text = f"The energy is {found.failed}: look at the named structures."
        return [Finding("torsion", "fail", "error of scans", None, rmse.unit, rmse.words, text)]
    of_several = len(found.scans) > 1
    worst = (
        f", the worst {found.worst} by {found.scans[found.worst].rmse:.2f}" if found.worst else ""
    )
    findings = [
        _finding(
            found, rmse, found.rmse, base.rmse if base else None,
            what="relative energies along scans",
            consequence="Populations of conformers",
            more=worst if of_several else "",
        ),
        _finding(
            found, barrier, found.barrier_error, base.barrier_error if base else None,
            what="barriers of scans",
            consequence="Rates of turning",
        ),
    ]  # fmt: skip
    return sorted(findings, key=lambda f: -LEVELS.index(f.level))


def _finding(
    found: PotentialNumbers,
    limit: Threshold,
    error: float,
    of_base: float | None,
    *,
    what: str,
    consequence: str,
    more: str = "",
) -> Finding:
    level, count = limit.level(error), len(found.scans)
    text = f"{what[0].upper()}{what[1:]} are off by {error:.2f} kcal/mol"
    text += f", on average over {count}" if count > 1 else ""
    text += f" (the foundation by {of_base:.2f})" if of_base is not None else ""
    text += f"{more}."
    if level != "pass":
        text += f" {consequence} will be off: add twisted molecules to the training data"
        text += f", such as those of {found.worst}." if count > 1 else "."
    return Finding("torsion", level, f"error of {what}", error, limit.unit, limit.words, text)
