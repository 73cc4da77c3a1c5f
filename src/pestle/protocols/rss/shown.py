"""Charts and tables of a random structure search."""

from __future__ import annotations

from pestle.protocols.base import Inputs
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.rss.criteria import CRITERIA
from pestle.protocols.rss.numbers import RssNumbers
from pestle.records.results import Measured
from pestle.settings.probe import RssSettings
from pestle.wording import counted, listed

#: Bounds of a chart: eV/atom above and below the median, and multiples of the median volume.
DRAWN_ENERGY, DRAWN_VOLUME = 10.0, 3.0


def extent(_inputs: Inputs, settings: RssSettings) -> str:
    """Describe the size of a search: `10 compositions × 50 crystals at 0.1 and 50 GPa`."""
    kinds = len(settings.compositions) or settings.n_compositions
    at = listed([f"{pressure:g}" for pressure in dict.fromkeys(settings.pressures)])
    return (
        f"{counted(kinds, 'composition')} × {counted(settings.structures, 'crystal')} at {at} GPa"
    )


def charts(measured: Measured[RssNumbers]) -> list[Chart]:
    """Draw for each pressure the share that imploded by composition, and energies against
    volumes.
    """
    found = []
    potentials = measured.numbers.potentials
    of = "the foundation's medians" if measured.about.baseline else "the medians"
    loosest = RssSettings.model_validate(measured.about.settings).loosest
    most = f", at most {loosest:g} times the volume of a solid" if loosest is not None else ""
    for k, pressure in enumerate(_pressures(measured)):
        searches = {name: p.pressures[k] for name, p in potentials.items()}
        bars = [
            Series(
                name,
                list(measured.numbers.formulas),
                [100 * part.imploded / part.n for part in search.compositions.values()],
            )
            for name, search in searches.items()
        ]
        title = f"Imploded at {pressure:g} GPa"
        found.append(Chart(title, "composition", "crystals (%)", bars, (0.0, 100.0), kind="bar"))
        clouds = []
        for name, search in searches.items():
            crystals = search.crystals
            pairs = zip(crystals.volume, crystals.energy, strict=True)
            known = [(x, y) for x, y in pairs if x is not None and y is not None]
            # Points beyond the bounds of the chart are moved to them.
            volumes = [min(x, DRAWN_VOLUME) for x, _ in known]
            energies = [max(-DRAWN_ENERGY, min(y, DRAWN_ENERGY)) for _, y in known]
            clouds.append(Series(name, volumes, [*energies]))
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


def tables(measured: Measured[RssNumbers]) -> list[Table]:
    """Make tables of counts by potential, pressure and criterion, and by composition."""
    return [_by_criterion(measured), _by_composition(measured)]


def _by_criterion(measured: Measured[RssNumbers]) -> Table:
    columns = [Column("model"), Column("pressure", "GPa", 3), Column("medians")]
    columns += [Column(text, "", 4) for text in ("crystals", "flagged", *CRITERIA.values())]
    columns += [Column("out of steps", "", 4)]
    rows = []
    for k, pressure in enumerate(_pressures(measured)):
        for name, potential in measured.numbers.potentials.items():
            search = potential.pressures[k]
            kinds = {"own": (search.flagged, search.by_criterion)}
            if measured.about.baseline not in (None, name):
                kinds["foundation's"] = (
                    search.flagged_foundation or 0,
                    search.by_criterion_foundation or {},
                )
                kinds["either"] = (search.imploded, search.by_criterion_either or {})
            for kind, (total, criteria) in kinds.items():
                counts = [criteria[key] for key in CRITERIA]
                rows.append([name, pressure, kind, search.n, total, *counts, search.out_of_steps])
    note = (
        "A crystal may meet several criteria (paper A.5), by either medians: it is counted once. "
    )
    note += "Out of steps: still moving at the end."
    return Table("Random crystals that imploded", columns, rows, note)


def _by_composition(measured: Measured[RssNumbers]) -> Table:
    columns = [Column("composition"), Column("pressure", "GPa", 3), Column("model")]
    columns += [Column("crystals", "", 4), Column("flagged", "", 4), Column("out of steps", "", 4)]
    columns += [Column("median volume", "Å³/atom", 3), Column("median energy", "eV/atom", 6)]
    rows = []
    for formula in measured.numbers.formulas:
        for k, pressure in enumerate(_pressures(measured)):
            for name, potential in measured.numbers.potentials.items():
                part = potential.pressures[k].compositions[formula]
                counts = [part.n, part.imploded, part.out_of_steps]
                rows.append([formula, pressure, name, *counts, part.volume, part.energy])
    note = (
        "Median energies hold the E0s of each potential: those of potentials of different levels "
        "of theory lie thousands of eV apart and are not to be compared."
    )
    note = " ".join(part for part in (note, _drawn(measured)) if part)
    return Table("Random crystals by composition", columns, rows, note)


def _drawn(measured: Measured[RssNumbers]) -> str:
    """Explain why fewer compositions were searched than requested; empty if that is not the
    case.
    """
    asked = RssSettings.model_validate(measured.about.settings)
    if asked.compositions or len(measured.numbers.formulas) >= asked.n_compositions:
        return ""
    if len(measured.about.elements) == 1:
        return "The data hold one element, which was searched alone."
    return f"There are no more compositions of {', '.join(measured.about.elements)} in such cells."


def _pressures(measured: Measured[RssNumbers]) -> list[float]:
    """Return the pressures of the search, GPa."""
    searches = measured.numbers.potentials[measured.about.candidate].pressures
    return [search.pressure for search in searches]
