"""Protocol `rss`: random structure search, as in the paper's appendix A.5.

Random crystals are relaxed, rattled and relaxed again under a pressure. Where a potential has lost
its repulsion at short range, some of them implode; how many is compared with the foundation.

What A.5 leaves open is chosen here and is a setting: FIRE as optimizer, on atoms and cell together,
its force threshold and step limit, the amplitude of the rattle, the number of atoms. A crystal
whose relaxation ends at the step limit is counted, goes on to the next cycle and is screened like
the others; one that diverges is flagged and stays as it last was. All crystals are neutral.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pestle.progress import Task, progress
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Flagged
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
from pestle.protocols.rss.pieces import (
    Piece,
    calculated,
    piece_name,
    pieces,
    pressures,
    unpacked,
)
from pestle.protocols.rss.shown import charts, extent, tables
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import Stoichiometry
from pestle.structures.generation.spacing import atomic_volumes

#: Flagged structures of a potential that are written at most; the others are counted.
WRITTEN = 20


def calculate(potential: Potential, inputs: Inputs, settings: RssSettings, raw: RawFolder) -> None:
    """Relax, rattle and relax all crystals of all compositions at all pressures."""
    model, counts, done = potential.batched(), dict[str, int](), 0
    searches = len(compositions(inputs, settings)) * len(pressures(settings))
    total = searches * settings.structures * settings.cycles
    with progress(f"rss of {potential.name}", total) as bar:
        for piece in pieces(inputs, settings):
            counts[piece.composition.formula] = piece.batch + 1
            if not raw.has(piece.name):
                told = partial(_tell, bar, piece, done)
                found = calculated(piece, model, inputs.seed, settings, raw, told)
                raw.write(piece.name, **found)
            done += len(piece.members)
            bar.to(done)
    raw.finish(batches=counts)


def _tell(bar: Task, piece: Piece, done: int, step: int, moving: int) -> None:
    where = f"{piece.composition.formula} at {piece.pressure:g} GPa, cycle {piece.cycle + 1}"
    bar.to(done, f"{where}, step {step}, {moving} moving")


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: RssSettings) -> dict[str, Any]:
    """Crystals that imploded, by potential and pressure.

    Returns:
        `formulas`; `potentials`: name → `pressures`, a list of

        - `pressure` (GPa), `n`, `out_of_steps`, `diverged` (numbers of crystals);
        - `flagged` and `by_criterion` against the potential's own medians, `flagged_foundation`
          and `by_criterion_foundation` against the foundation's, `by_criterion_either` (these are
          not there without one); `imploded`: those that either flags, each counted once;
        - `compositions`: formula → the same, and its own median `volume` (Å³/atom) and `energy`
          (eV/atom);
        - `crystals`: columns `composition`, `number`, `status`, `volume` (over the median),
          `energy` (less the median, eV/atom), `overlap`, `reason` (empty where it is not flagged);
          the medians are the foundation's where there is one.
    """
    searched = compositions(inputs, settings)
    found: dict[str, Any] = {}
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
            searches.append(
                {"pressure": pressure}
                | _sums(list(parts.values()))
                | {"compositions": parts}
                | {"crystals": {k: [v for c in columns for v in c[k]] for k in columns[0]}}
            )
        found[name] = {"pressures": searches}
    return {"formulas": [composition.formula for composition in searched], "potentials": found}


def _read(raw: RawFolder, formula: str, pressure: float, settings: RssSettings) -> Crystals:
    """The crystals after the last cycle. What is kept of a cycle says where that one began: the
    unrelaxed crystals are those of the first."""
    last = _after(raw, formula, pressure, settings.cycles - 1)
    first = last if settings.cycles == 1 else _after(raw, formula, pressure, 0)
    columns = {
        key: np.concatenate([part[key] for part in (first if key == "first_energy" else last)])
        for key in Crystals.__dataclass_fields__
    }
    return Crystals(**columns)


def _after(raw: RawFolder, formula: str, pressure: float, cycle: int) -> list[dict[str, Any]]:
    """Arrays of all batches after a cycle."""
    batches = range(raw.facts["batches"][formula])
    return [raw.read(piece_name(formula, pressure, k, cycle)) for k in batches]


def _composition(
    composition: Stoichiometry, own: Crystals, base: Crystals | None, settings: RssSettings
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Numbers of one composition at one pressure, and the columns of its crystals."""
    middle = medians(own)
    against = [middle]
    if base is not None:
        old = replace(foundation_medians(base, own), name="the foundation's median")
        against = [old, replace(middle, name="its own median")]
    if settings.loosest is not None:
        solid = settings.loosest * _solid_volume(composition)
        against = [m.limited(solid) for m in against]
    found: dict[str, Any] = {
        "n": len(own),
        "out_of_steps": int((own.status == "out of steps").sum()),
        "diverged": int(own.diverged.sum()),
        "volume": middle.volume,
        "energy": middle.energy,
    }
    screens = [screen(own, m, settings) for m in against]
    found["flagged"], found["by_criterion"] = _counts(screens[-1:])
    found["imploded"], either = _counts(screens)
    if base is not None:
        found["flagged_foundation"], found["by_criterion_foundation"] = _counts(screens[:1])
        found["by_criterion_either"] = either
    reasons = [[reason(own, k, m, settings) for m in against] for k in range(len(own))]
    crystals = {
        "composition": [composition.formula] * len(own),
        "number": list(range(len(own))),
        "status": own.status.tolist(),
        "volume": (own.volume / against[0].volume).tolist(),
        "energy": (own.energy - against[0].energy).tolist(),
        "overlap": own.overlap.tolist(),
        "reason": [next(filter(None, texts), "") for texts in reasons],
    }
    return found, crystals


def _solid_volume(composition: Stoichiometry) -> float:
    """Å³/atom, about what it takes in a solid at rest."""
    return float(
        np.average(atomic_volumes()[list(composition.species)], weights=composition.amounts)
    )


def _counts(screens: Sequence[Mapping[str, np.ndarray]]) -> tuple[int, dict[str, int]]:
    """Crystals that any of the screens flags, and how many by each criterion."""
    masks = {key: np.any([found[key] for found in screens], axis=0) for key in CRITERIA}
    flagged = np.any(list(masks.values()), axis=0)
    return int(flagged.sum()), {key: int(mask.sum()) for key, mask in masks.items()}


def _sums(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all compositions at one pressure."""
    found: dict[str, Any] = {}
    for key in ("n", "out_of_steps", "diverged", "flagged", "flagged_foundation", "imploded"):
        if key in parts[0]:
            found[key] = sum(part[key] for part in parts)
    for key in ("by_criterion", "by_criterion_foundation", "by_criterion_either"):
        if key in parts[0]:
            found[key] = {c: sum(part[key][c] for part in parts) for c in CRITERIA}
    return found


def flagged(raws: Mapping[str, RawFolder], metrics: Any) -> list[Flagged]:
    """Those whose atoms are nearest to each other, WRITTEN of a potential at most."""
    found = []
    for name, potential in metrics["potentials"].items():
        mine = []
        for search in potential["pressures"]:
            columns = search["crystals"]
            for values in zip(*columns.values(), strict=True):
                crystal = dict(zip(columns, values, strict=True))
                if crystal["reason"]:
                    mine.append(crystal | {"pressure": search["pressure"]})
        mine.sort(key=lambda crystal: crystal["overlap"])
        found += [_flagged(name, raws[name], c, metrics) for c in mine[:WRITTEN]]
    return found


def _flagged(
    name: str, raw: RawFolder, crystal: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Flagged:
    formula, pressure, number = (crystal[key] for key in ("composition", "pressure", "number"))
    last = _after(raw, formula, pressure, metrics["settings"]["cycles"] - 1)
    atoms = [a for part in last for a in unpacked(part)[1]][number]
    title = f"{formula} no {number + 1} at {pressure:g} GPa"
    return Flagged(name, title, crystal["reason"], atoms)


PROTOCOL: Protocol[Any] = Protocol(
    name="rss",
    question="Do random crystals keep their atoms apart when they are relaxed under pressure?",
    settings=RssSettings,
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=extent,
    # With pestle-seed0 on H, C, F and Cl 4 of 20 crystals run out of these steps.
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
