"""What a random structure search shows: charts, tables, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.probe_settings import RssSettings
from pestle.protocols.results import Chart, Column, Finding, Series, Table
from pestle.protocols.rss.criteria import CRITERIA
from pestle.protocols.thresholds import Threshold

#: eV/atom above and below the median, and multiples of its volume, at which a chart ends.
DRAWN_ENERGY, DRAWN_VOLUME = 10.0, 3.0
#: Share of crystals out of steps from which on a finding says so.
MANY = 0.2


def extent(settings: RssSettings) -> str:
    """`10 compositions × 50 crystals at 0.1 and 50 GPa`."""
    kinds = len(settings.compositions) or settings.n_compositions
    plural = "s" if kinds > 1 else ""
    at = _listed(list(dict.fromkeys(settings.pressures)), "and")
    return f"{kinds} composition{plural} × {settings.structures} crystals at {at}"


def charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """For each pressure the share that imploded by composition, and volumes against energies."""
    found = []
    potentials = metrics["potentials"]
    of = "the foundation's medians" if metrics["baseline"] else "the medians"
    for k, pressure in enumerate(_pressures(metrics)):
        searches = {name: p["pressures"][k] for name, p in potentials.items()}
        bars = [
            Series(
                name,
                list(metrics["formulas"]),
                [100 * part["worst"] / part["n"] for part in search["compositions"].values()],
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
                caption=f"Against {of} of each composition; crystals beyond the bounds are drawn "
                "at them. What implodes lies at the lower left.",
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
            kinds = {"own": ""}
            if metrics["baseline"] not in (None, name):
                kinds["foundation's"] = "_foundation"
            for kind, ending in kinds.items():
                counts = list(search[f"by_criterion{ending}"].values())
                rows.append([name, pressure, kind, search["n"], search[f"flagged{ending}"]])
                rows[-1] += [*counts, search["out_of_steps"]]
    note = "A crystal may meet several criteria (paper A.5). Out of steps: still moving at the end."
    return Table("Random crystals that imploded", columns, rows, note)


def _by_composition(metrics: Mapping[str, Any]) -> Table:
    columns = [Column("composition"), Column("pressure", "GPa", 3), Column("model")]
    columns += [Column("crystals", "", 4), Column("flagged", "", 4), Column("out of steps", "", 4)]
    columns += [Column("median volume", "Å³/atom", 3), Column("median energy", "eV/atom", 6)]
    keys = ("n", "worst", "out_of_steps", "volume", "energy")
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


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """The share that imploded beyond the foundation's, at the pressure where that is most.

    Where both implode, some crystals go one way or the other by chance: a difference within the
    standard deviation of the two counts is a concern at most.
    """
    limit = thresholds["flagged_change"]
    searches = metrics["potentials"][metrics["candidate"]]["pressures"]
    base = metrics["potentials"].get(metrics["baseline"], {"pressures": []})["pressures"]
    shares = [search["worst"] / search["n"] for search in searches]
    old = [search["flagged"] / search["n"] for search in base] or [0.0] * len(shares)
    k = max(range(len(shares)), key=lambda k: (shares[k] - old[k], shares[k]))
    change, search = shares[k] - old[k], searches[k]
    level = limit.level(change)
    scattered = bool(base) and level != "pass" and change < _scatter(shares[k], old[k], search["n"])
    if scattered:
        level = "concern"
    if search["worst"]:
        text = f"{search['worst']} of {search['n']} random crystals imploded at "
        text += f"{search['pressure']:g} GPa"
    else:
        text = f"None of {search['n']} random crystals imploded at "
        text += _listed(_pressures(metrics) if not any(shares) else [search["pressure"]], "or")
    text += f", the foundation {base[k]['flagged']}" if base else ""
    if scattered:
        text += ": no more than the scatter of so few; raise rss.structures"
    elif level != "pass":
        text += ": not for structure search"
        text += "; replay would keep the wall" if base else ""
    elif base and search["worst"]:
        text += ": no worse than the foundation"
    moving = max(search["out_of_steps"] / search["n"] for search in searches)
    if moving >= MANY:
        steps = metrics["settings"]["max_steps"]
        text += (
            f". Up to {100 * moving:.0f} % were still moving after {steps} steps (rss.max_steps)"
        )
    return [Finding("rss", level, "imploded crystals", change, limit.unit, limit.words, text + ".")]


def _scatter(first: float, second: float, n: int) -> float:
    """Standard deviation of the difference of two shares of n crystals each, drawn at random."""
    return float(((first * (1 - first) + second * (1 - second)) / n) ** 0.5)


def _pressures(metrics: Mapping[str, Any]) -> list[float]:
    """GPa."""
    searches = metrics["potentials"][metrics["candidate"]]["pressures"]
    return [search["pressure"] for search in searches]


def _listed(pressures: Sequence[float], word: str) -> str:
    """`0.1, 10 and 50 GPa`."""
    texts = [f"{pressure:g}" for pressure in pressures]
    first = ", ".join(texts[:-1])
    return f"{f'{first} {word} ' if first else ''}{texts[-1]} GPa"
