"""Protocol `rss`: random structure search, as in the paper's appendix A.5.

Random crystals are relaxed, rattled and relaxed again under a pressure. If a potential has lost its
repulsion at short range, some crystals implode. Their number is compared with the foundation.

Appendix A.5 does not define everything. The following choices are settings: FIRE as optimizer, on
atoms and cell together, its force threshold and step limit, the amplitude of the rattle, and the
number of atoms. A crystal whose relaxation ends at the step limit is counted, continues with the
next cycle and is screened like the others. A crystal that diverges is flagged and keeps its last
geometry. All crystals are neutral.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pestle.progress import Task, progress
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Flagged
from pestle.protocols.rss import DECLARATION
from pestle.protocols.rss.criteria import (
    CRITERIA,
    Crystals,
    foundation_medians,
    medians,
    reason,
    screen,
)
from pestle.protocols.rss.crystals import check, compositions
from pestle.protocols.rss.findings import assess
from pestle.protocols.rss.numbers import (
    CompositionNumbers,
    CrystalColumns,
    PotentialNumbers,
    PressureNumbers,
    RssNumbers,
)
from pestle.protocols.rss.pieces import (
    Piece,
    RelaxedCrystals,
    SearchFacts,
    calculated,
    piece_name,
    pieces,
    pressures,
)
from pestle.protocols.rss.shown import charts, extent, tables
from pestle.records.results import Measured
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import Stoichiometry
from pestle.structures.generation.spacing import atomic_volumes

#: Largest number of flagged structures that are written for a potential; the others are counted.
WRITTEN = 20


def calculate(potential: Potential, inputs: Inputs, settings: RssSettings, raw: RawFolder) -> None:
    """Relax, rattle and relax all crystals of all compositions at all pressures.

    Args:
        potential: a potential with a torch-sim model that gives stresses.
        inputs: gives elements and seed.
        settings: settings of the protocol.
        raw: folder for the results.
    """
    model, counts, done = potential.batched(), dict[str, int](), 0
    searches = len(compositions(inputs, settings)) * len(pressures(settings))
    total = searches * settings.structures * settings.cycles
    with progress(f"rss of {potential.name}", total) as bar:
        for piece in pieces(inputs, settings):
            counts[piece.composition.formula] = piece.batch + 1
            if not raw.has(piece.name):
                told = partial(_tell, bar, piece, done)
                raw.write(piece.name, calculated(piece, model, inputs.seed, settings, raw, told))
            done += len(piece.members)
            bar.to(done)
    raw.finish(SearchFacts(batches=counts))


def _tell(bar: Task, piece: Piece, done: int, step: int, moving: int) -> None:
    where = f"{piece.composition.formula} at {piece.pressure:g} GPa, cycle {piece.cycle + 1}"
    # A crystal at rest is done, although its batch goes on: it gives the first estimate.
    bar.to(done + len(piece.members) - moving, f"{where}, step {step}, {moving} moving")


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: RssSettings) -> RssNumbers:
    """Count the crystals that imploded, by potential and pressure.

    Args:
        raws: name of the potential → its raw results.
        inputs: gives elements, candidate and baseline.
        settings: settings of the protocol.
    """
    searched = compositions(inputs, settings)
    found = {}
    for name, raw in raws.items():
        searches = []
        for pressure in pressures(settings):
            parts, columns = {}, []
            for composition in searched:
                formula = composition.formula
                own = _read(raw, formula, pressure, settings)
                base = None
                if inputs.baseline is not None:
                    base = _read(raws[inputs.baseline], formula, pressure, settings)
                parts[formula], crystals = _composition(composition, own, base, settings)
                columns.append(crystals)
            searches.append(_at_pressure(pressure, parts, columns))
        found[name] = PotentialNumbers(pressures=searches)
    return RssNumbers(formulas=[c.formula for c in searched], potentials=found)


def _read(raw: RawFolder, formula: str, pressure: float, settings: RssSettings) -> Crystals:
    """Return the crystals after the last cycle.

    The results of a cycle contain the energies at its start. Those of the first cycle are the
    energies of the unrelaxed crystals.
    """
    last = _after(raw, formula, pressure, settings.cycles - 1)
    first = last if settings.cycles == 1 else _after(raw, formula, pressure, 0)
    return Crystals(last.status, first.first_energy, last.energy, last.volume, last.overlap)


def _after(raw: RawFolder, formula: str, pressure: float, cycle: int) -> RelaxedCrystals:
    """Return the crystals of all batches after a cycle."""
    names = [
        piece_name(formula, pressure, k, cycle)
        for k in range(raw.facts(SearchFacts).batches[formula])
    ]
    return RelaxedCrystals.joined([raw.read(name, RelaxedCrystals) for name in names])


def _composition(
    composition: Stoichiometry, own: Crystals, base: Crystals | None, settings: RssSettings
) -> tuple[CompositionNumbers, CrystalColumns]:
    """Return the numbers of one composition at one pressure, and the columns of its crystals."""
    middle = medians(own)
    against = [middle]
    if base is not None:
        old = replace(foundation_medians(base, own), name="the foundation's median")
        against = [old, replace(middle, name="its own median")]
    if settings.loosest is not None:
        # The volume of a solid at rest, Å³/atom, guessed from radii.
        volumes = atomic_volumes()[list(composition.species)]
        solid = settings.loosest * float(np.average(volumes, weights=composition.amounts))
        against = [m.limited(solid) for m in against]
    screens = [screen(own, m, settings) for m in against]
    flagged_own, by_own = _counts(screens[-1:])
    imploded, by_either = _counts(screens)
    flagged_base, by_base = _counts(screens[:1])
    found = CompositionNumbers(
        n=len(own),
        out_of_steps=int((own.status == "out of steps").sum()),
        diverged=int(own.diverged.sum()),
        volume=middle.volume,
        energy=middle.energy,
        flagged=flagged_own,
        by_criterion=by_own,
        imploded=imploded,
        flagged_foundation=None if base is None else flagged_base,
        by_criterion_foundation=None if base is None else by_base,
        by_criterion_either=None if base is None else by_either,
    )
    reasons = [[reason(own, k, m, settings) for m in against] for k in range(len(own))]
    crystals = CrystalColumns(
        composition=[composition.formula] * len(own),
        number=list(range(len(own))),
        status=own.status.tolist(),
        volume=(own.volume / against[0].volume).tolist(),
        energy=(own.energy - against[0].energy).tolist(),
        overlap=own.overlap.tolist(),
        reason=[next(filter(None, texts), "") for texts in reasons],
    )
    return found, crystals


def _counts(screens: Sequence[Mapping[str, np.ndarray]]) -> tuple[int, dict[str, int]]:
    """Count the crystals that any of the screens flags, in total and by criterion."""
    masks = {key: np.any([found[key] for found in screens], axis=0) for key in CRITERIA}
    flagged = np.any(list(masks.values()), axis=0)
    return int(flagged.sum()), {key: int(mask.sum()) for key, mask in masks.items()}


def _at_pressure(
    pressure: float, parts: dict[str, CompositionNumbers], columns: list[CrystalColumns]
) -> PressureNumbers:
    """Sum up the numbers of all compositions at one pressure."""
    found = list(parts.values())

    def by_criterion(counts: list[dict[str, int] | None]) -> dict[str, int] | None:
        known = [count for count in counts if count is not None]
        return {c: sum(count[c] for count in known) for c in CRITERIA} if known else None

    by_base = [part.flagged_foundation for part in found if part.flagged_foundation is not None]
    return PressureNumbers(
        pressure=pressure,
        n=sum(part.n for part in found),
        out_of_steps=sum(part.out_of_steps for part in found),
        diverged=sum(part.diverged for part in found),
        flagged=sum(part.flagged for part in found),
        flagged_foundation=sum(by_base) if by_base else None,
        imploded=sum(part.imploded for part in found),
        by_criterion={c: sum(part.by_criterion[c] for part in found) for c in CRITERIA},
        by_criterion_foundation=by_criterion([p.by_criterion_foundation for p in found]),
        by_criterion_either=by_criterion([p.by_criterion_either for p in found]),
        compositions=parts,
        crystals=CrystalColumns(
            composition=[value for c in columns for value in c.composition],
            number=[value for c in columns for value in c.number],
            status=[value for c in columns for value in c.status],
            volume=[value for c in columns for value in c.volume],
            energy=[value for c in columns for value in c.energy],
            overlap=[value for c in columns for value in c.overlap],
            reason=[value for c in columns for value in c.reason],
        ),
    )


def flagged(raws: Mapping[str, RawFolder], measured: Measured[RssNumbers]) -> list[Flagged]:
    """Return the flagged structures with the closest atoms, at most WRITTEN for each potential."""
    settings = RssSettings.model_validate(measured.about.settings)
    found = []
    for name, potential in measured.numbers.potentials.items():
        mine = []
        for search in potential.pressures:
            crystals = search.crystals
            rows = zip(
                crystals.overlap,
                crystals.composition,
                crystals.number,
                crystals.reason,
                strict=True,
            )
            mine += [(search.pressure, *row) for row in rows if row[-1]]
        mine.sort(key=lambda row: math.inf if row[1] is None else row[1])
        for pressure, _, formula, number, text in mine[:WRITTEN]:
            atoms = _after(raws[name], formula, pressure, settings.cycles - 1).atoms()[number]
            title = f"{formula} no {number + 1} at {pressure:g} GPa"
            found.append(Flagged(name, title, text, atoms))
    return found


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=RssSettings,
    numbers=RssNumbers,
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=extent,
    # With pestle-seed0 on H, C, F and Cl, 4 of 20 crystals reach this step limit.
    quick={
        "n_compositions": 2,
        "structures": 5,
        "max_atoms": 6,
        "cycles": 2,
        "fmax": 0.2,
        "max_steps": 75,
    },
    flagged=flagged,
    analysis_settings=(
        "overlap",
        "volume",
        "energy_mads",
        "energy",
        "low_energy_volume",
        "loosest",
    ),
    packages=("pyxtal", "torch-sim-atomistic"),
    check=check,
)
