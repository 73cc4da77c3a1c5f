"""What a random structure search shows: charts and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.rss.criteria import CRITERIA
from pestle.records.wording import listed
from pestle.settings.probe import RssSettings

#: eV/atom above and below the median, and multiples of its volume, at which a chart ends.
DRAWN_ENERGY, DRAWN_VOLUME = 10.0, 3.0


def extent(settings: RssSettings) -> str:
    """`10 compositions × 50 crystals at 0.1 and 50 GPa`."""
    kinds = len(settings.compositions) or settings.n_compositions
    plural = "s" if kinds > 1 else ""
    at = listed([f"{pressure:g}" for pressure in dict.fromkeys(settings.pressures)])
    return f"{kinds} composition{plural} × {settings.structures} crystals at {at} GPa"


def charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """For each pressure the share that imploded by composition, and volumes against energies."""
    found = []
    potentials = metrics["potentials"]
    of = "the foundation's medians" if metrics["baseline"] else "the medians"
    loosest = metrics["settings"]["loosest"]
    most = f", volumes of a solid's times {loosest:g} at most" if loosest is not None else ""
    for k, pressure in enumerate(_pressures(metrics)):
        searches = {name: p["pressures"][k] for name, p in potentials.items()}
        bars = [
            Series(
                name,
                list(metrics["formulas"]),
                [100 * part["imploded"] / part["n"] for part in search["compositions"].values()],
            )
            for name, search in searches.items()
        ]
        title = f"Imploded at {pressure:g} GPa"
        found.append(Chart(title, "composition", "crystals (%)", bars, (0.0, 100.0), kind="bar"))
        clouds = []
        for name, search in searches.items():
            crystals = search["crystals"]
            pairs = zip(crystals["volume"], crystals["energy"], strict=True)
            drawn = [_within(volume, energy) for volume, energy in pairs]
            clouds.append(Series(name, [x for x, _ in drawn], [y for _, y in drawn]))
        found.append(
            Chart(
                f"Relaxed crystals at {pressure:g} GPa",
                "volume / median",
                "energy − median (eV/atom)",
                clouds,
                (-DRAWN_ENERGY, DRAWN_ENERGY),
                kind="points",
                caption=f"Against {of} of each composition{most}; crystals beyond the bounds are "
                "drawn at them. What implodes lies at the lower left.",
            )
        )
    return found


def _within(volume: float | None, energy: float | None) -> tuple[float | None, float | None]:
    """A point moved to the bounds of the chart."""
    if volume is None or energy is None:
        return None, None
    return min(volume, DRAWN_VOLUME), max(-DRAWN_ENERGY, min(energy, DRAWN_ENERGY))


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Counts by potential, pressure and criterion, and by composition."""
    return [_by_criterion(metrics), _by_composition(metrics)]


def _by_criterion(metrics: Mapping[str, Any]) -> Table:
    columns = [Column("model"), Column("pressure", "GPa", 3), Column("medians")]
    columns += [Column(text, "", 4) for text in ("crystals", "flagged", *CRITERIA.values())]
    columns += [Column("out of steps", "", 4)]
    rows = []
    for k, pressure in enumerate(_pressures(metrics)):
        for name, potential in metrics["potentials"].items():
            search = potential["pressures"][k]
            kinds = {"own": ("flagged", "by_criterion")}
            if metrics["baseline"] not in (None, name):
                kinds["foundation's"] = ("flagged_foundation", "by_criterion_foundation")
                kinds["either"] = ("imploded", "by_criterion_either")
            for kind, (total, criteria) in kinds.items():
                counts = [search[criteria][key] for key in CRITERIA]
                rows.append([name, pressure, kind, search["n"], search[total]])
                rows[-1] += [*counts, search["out_of_steps"]]
    note = (
        "A crystal may meet several criteria (paper A.5), by either medians: it is counted once. "
    )
    note += "Out of steps: still moving at the end."
    return Table("Random crystals that imploded", columns, rows, note)


def _by_composition(metrics: Mapping[str, Any]) -> Table:
    columns = [Column("composition"), Column("pressure", "GPa", 3), Column("model")]
    columns += [Column("crystals", "", 4), Column("flagged", "", 4), Column("out of steps", "", 4)]
    columns += [Column("median volume", "Å³/atom", 3), Column("median energy", "eV/atom", 6)]
    keys = ("n", "imploded", "out_of_steps", "volume", "energy")
    rows = [
        [formula, pressure, name]
        + [potential["pressures"][k]["compositions"][formula][key] for key in keys]
        for formula in metrics["formulas"]
        for k, pressure in enumerate(_pressures(metrics))
        for name, potential in metrics["potentials"].items()
    ]
    return Table("Random crystals by composition", columns, rows, _drawn(metrics))


def _drawn(metrics: Mapping[str, Any]) -> str:
    """Why fewer compositions were searched than asked for; empty where it is not so."""
    asked = metrics["settings"]
    if asked["compositions"] or len(metrics["formulas"]) >= asked["n_compositions"]:
        return ""
    if len(metrics["elements"]) == 1:
        return "The data hold one element, which was searched alone."
    return f"There are no more compositions of {', '.join(metrics['elements'])} in such cells."


def _pressures(metrics: Mapping[str, Any]) -> list[float]:
    """GPa."""
    searches = metrics["potentials"][metrics["candidate"]]["pressures"]
    return [search["pressure"] for search in searches]
