"""Folders of results for the tests of the report: charts of every kind, flagged structures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from ase.build import bulk, molecule

from pestle.jobs.protocol_run import write_flagged
from pestle.protocols.results import Chart, Column, Flagged, Series, Table
from pestle.records.base import Part
from pestle.records.manifest import SetsOfErrors
from pestle.records.results import About
from pestle.records.timings import Timings
from pestle.records.verdict import CountedFinding, Level, NotTested, TestedProtocol, Verdict

CANDIDATE, BASELINE = "naive", "pestle-seed0"
LABELS = {BASELINE: f"{BASELINE} (foundation)"}
EVIL = '<script>alert("x")</script>'


def dump(path: Path, content: Any) -> None:
    """JSON, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


P = TypeVar("P", bound=Part)


def changed(part: P, **fields: Any) -> P:
    """A part of a record with other fields; a name or type that is not the record's fails."""
    own = {name: getattr(part, name) for name in type(part).model_fields}
    return type(part).model_validate(own | fields)


def finding(protocol: str, level: Level, value: float | None, **more: Any) -> CountedFinding:
    """One finding of a verdict."""
    found = CountedFinding(
        protocol=protocol,
        level=level,
        quantity=f"{protocol} figure",
        value=value,
        unit="of the structures",
        limit="concern from 0.001, fail from 0.02",
        sentence=f"{protocol} found something: do this.",
        counts=True,
    )
    return replace(found, **more)


TIMINGS = Timings(when="2025-03-02T15:00:00+00:00", seconds={"rss": 83.2, "dimers": 4.0})


def verdict(**more: Any) -> Verdict:
    """The verdict on a model that failed."""
    found = Verdict(
        verdict="fail",
        sentence="naive is not fit for configurations unlike those of its data.",
        scope="broad",
        candidate=CANDIDATE,
        baseline=BASELINE,
        others=("scratch", "lora"),
        labels=LABELS,
        quick=True,
        thresholds="shipped",
        command=f"pestle qualify runs/naive --scope broad --also '{EVIL}'",
        findings=(
            finding("md", "pass", 0.0),
            finding("rss", "fail", 0.028, sentence="14 of 500 random crystals imploded."),
            finding("atoms", "fail", None, counts=False),
            finding("dimers", "concern", 0.2),
        ),
        protocols={
            "rss": TestedProtocol(
                level="fail",
                needed=True,
                extent="2 compositions × 4 crystals",
                full_extent="10 compositions × 50 crystals",
            ),
            "dimers": TestedProtocol(level="concern", needed=True, extent="60 distances"),
            "zero_step": TestedProtocol(level=None, needed=False),
        },
        not_tested=(
            NotTested("neb", needed=False, why="no path was given", how="--path FILE"),
            NotTested("forgetting", needed=True, why="left out", how="leave it in"),
        ),
        versions={"pestle": "0.1.0", "torch": "2.9.0"},
    )
    return changed(found, **more)


def about(protocol: str, **more: Any) -> About:
    """Models and names of a protocol's results."""
    fields = {
        "protocol": protocol,
        "question": f"What does {protocol} ask?",
        "settings": {},
        "models": (CANDIDATE, BASELINE, "scratch", "lora"),
        "candidate": CANDIDATE,
        "baseline": BASELINE,
        "labels": LABELS,
        "elements": ("Cu",),
    }
    return About.model_validate(fields | more)


def line_chart(**more: Any) -> Chart:
    """A reference and three potentials over numbers."""
    x = [k / 20 for k in range(41)]
    series = [Series("reference", x[::4], [math.sin(v) for v in x[::4]])]
    for k, name in enumerate((CANDIDATE, BASELINE, "scratch", "lora")):
        series.append(
            Series(name, x, [(1 + 0.1 * k) * math.sin(v) for v in x], error=[0.05] * len(x))
        )
    series.append(Series(CANDIDATE, x, [0.5 * math.sin(v) for v in x], dashed=True))
    return Chart("Profile", "path length (Å)", "energy (eV)", series, size="wide", **more)


def points_chart(n: int = 40, **more: Any) -> Chart:
    """Parity of two potentials; one prediction of the candidate is far off."""
    rng = random.Random(0)
    label = [rng.gauss(0, 1) for _ in range(n)]
    tuned = [v + rng.gauss(0, 0.02) for v in label]
    tuned[n // 3] = label[n // 3] + 0.7
    base = [v + rng.gauss(0, 0.2) for v in label]
    series = [Series(BASELINE, label, base), Series(CANDIDATE, label, tuned)]
    return Chart(
        "Force components", "reference (eV/Å)", "predicted (eV/Å)", series, kind="points",
        diagonal=True, **more,
    )  # fmt: skip


def violin_chart(n: int = 30, **more: Any) -> Chart:
    """Errors by group of two potentials."""
    rng = random.Random(1)
    groups = [group for group in ("md300", EVIL) for _ in range(n)]
    series = [
        Series(name, groups, [10 ** rng.gauss(scale, 0.3) for _ in groups])
        for name, scale in ((CANDIDATE, 1.0), (BASELINE, 2.0))
    ]
    return Chart(
        "Errors by frame", "group", "error (meV/Å)", series, kind="violin", log_y=True, **more
    )


def bar_chart(**more: Any) -> Chart:
    """One bar a composition and potential, one missing."""
    series = [
        Series(CANDIDATE, ["CuO", "Cu"], [12.0, 3.0], error=[1.0, 0.5]),
        Series(BASELINE, ["CuO", "Cu"], [0.0, None]),
    ]
    return Chart("Flagged", "composition", "share (%)", series, kind="bar", **more)


def small_charts(count: int = 4) -> list[Chart]:
    """Curves of pairs."""
    x = [0.1 * k for k in range(1, 30)]
    return [
        Chart(
            f"Cu-X{k}", "distance (Å)", "energy (eV)",
            [Series(name, x, [1 / v**6 - 2 / v**3 for v in x]) for name in (CANDIDATE, BASELINE)],
            y_range=(-2.0, 10.0), size="small",
        )
        for k in range(count)
    ]  # fmt: skip


def table(rows: int = 3) -> Table:
    """A pair, a potential, figures, flags."""
    columns = [Column("pair"), Column("model"), Column("depth", "eV", 3), Column("n", "", 8)]
    columns.append(Column("flags"))
    content = [
        [f"Cu-X{k}", (CANDIDATE, BASELINE)[k % 2], 0.5 - 1.25 * k, 100 - k, None if k % 2 else EVIL]
        for k in range(rows)
    ]
    content[-1][2] = None
    return Table("Curves of two atoms", columns, content, note="Depth below two single atoms.")


def flagged(count: int = 3, atoms: int = 4) -> list[Flagged]:
    """Crystals that fell in, and a molecule."""
    copper = bulk("Cu", "fcc", a=2.0, cubic=True).repeat((1, 1, max(1, atoms // 4)))
    found = [
        Flagged((CANDIDATE, BASELINE)[k % 2], f"CuO {k}, 50 GPa", "imploded: 0.6 Å", copper)
        for k in range(count)
    ]
    return [*found, Flagged("lora", EVIL, "flew apart", molecule("CH3CH2OH"))]


def write_protocol(
    folder: Path,
    name: str,
    charts: list[Chart] | None = None,
    tables: list[Table] | None = None,
    found: list[Flagged] | None = None,
    *,
    notes: Sequence[str] = (),
    sets: SetsOfErrors | None = None,
    numbers: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Files of one protocol, as `run_protocol` writes them.

    Args:
        folder: of the run.
        name: of the protocol.
        charts, tables, found: what it shows.
        notes, sets: numbers that the page shows.
        numbers: others of the protocol.
        more: of `About`.
    """
    place = folder / "protocols" / name
    content = about(name, **more).model_dump(mode="json") | {"notes": list(notes)} | (numbers or {})
    if sets is not None:
        content["sets"] = {
            one: {
                model: {group: errors.model_dump() for group, errors in groups.items()}
                for model, groups in models.items()
            }
            for one, models in sets.items()
        }
    dump(place / "metrics.json", content)
    dump(place / "charts.json", [asdict(chart) for chart in charts or []])
    dump(place / "tables.json", [asdict(one) for one in tables or []])
    if found:
        write_flagged(place / "flagged.xyz", found)
    return place


def make_results(folder: Path) -> Path:
    """What `pestle qualify` leaves of a bare model: charts of every kind, flagged structures."""
    folder.mkdir(parents=True, exist_ok=True)
    verdict().write(folder / "verdict.json")
    TIMINGS.write(folder / "timings.json")
    write_protocol(folder, "dimers", small_charts(), [table()])
    write_protocol(folder, "rss", [bar_chart(caption="At 50 GPa.")], [table(40)], flagged())
    write_protocol(folder, "neb", [line_chart()])
    write_protocol(folder, "forgetting", [violin_chart(), points_chart()])
    return folder
