"""Protocol `dimers`: energy of two atoms against their distance, for all pairs of elements.

Repulsion at short range keeps a simulation from collapsing, and training data of relaxed structures
contain no information about it (paper 3.4, objective 4; curves of pairs in Fig. 4b). A curve must
be finite, increase from its minimum inwards, and have one minimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from pydantic import SerializerFunctionWrapHandler, model_serializer
from scipy.signal import find_peaks

from pestle.progress import progress
from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.dimers import DECLARATION
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.single_atoms import calculate_single_atoms, read_single_atoms
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured, Numbers
from pestle.records.verdict import Finding, limited, worst
from pestle.settings.probe import DimerSettings
from pestle.structures.frame import Frame
from pestle.wording import counted, figure

#: Energies (eV) beyond this one are of a network that extrapolates and have no meaning.
MEANINGFUL = 1_000
#: Smallest decrease inwards, or depth of a second minimum, that counts, eV. Networks have smaller
#: variations at distances without data.
RIPPLE = 0.1
#: The minimum is searched from this multiple of the sum of covalent radii: bonds are hardly ever
#: shorter (N2 is at 0.77, C2H2 at 0.79), and shorter distances are the repulsive wall.
SHORTEST_BOND = 0.7
#: Upper limit of the energy in charts, eV.
DRAWN = 10.0


@dataclass(frozen=True)
class PairEnergies(Arrays):
    """Raw results of one pair of elements.

    Attributes:
        distance: [points] Å, ascending.
        energy: [points] total energy of the two atoms, eV.
        force: [points] force on the second atom, away from the first, eV/Å.
    """

    distance: Annotated[np.ndarray, Shape("points")]
    energy: Annotated[np.ndarray, Shape("points")]
    force: Annotated[np.ndarray, Shape("points")]


class Curve(Numbers):
    """The energy of two atoms as a function of their distance.

    If an energy is not finite, there are only the curve and its flag.

    Attributes:
        distance: [n] Å, ascending.
        energy: [n] eV relative to the two single atoms.
        r_min: distance of the minimum, Å.
        depth: depth of the minimum, eV.
        wall: energy at the shortest distance relative to the minimum, eV.
        fall: largest decrease of the energy inwards from the minimum, eV.
        wells: number of minima.
        flags: problems, in words.
    """

    distance: list[float]
    energy: list[float | None]
    r_min: float | None = None
    depth: float | None = None
    wall: float | None = None
    fall: float | None = None
    wells: int | None = None
    flags: list[str]

    @model_serializer(mode="wrap")
    def _only_what_is_known(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the curve without missing numbers."""
        return {name: value for name, value in write(self).items() if value is not None}


class PotentialNumbers(Numbers):
    """Results of one potential for all pairs.

    Attributes:
        pairs: pair, such as Cu-Ag → its curve.
        n_pairs: number of pairs.
        n_flagged: number of pairs with a flag.
    """

    pairs: dict[str, Curve]
    n_pairs: int
    n_flagged: int


class DimersNumbers(Numbers):
    """Results of all potentials.

    Attributes:
        potentials: name → its results.
    """

    potentials: dict[str, PotentialNumbers]


def pairs(inputs: Inputs) -> list[tuple[int, int]]:
    """Return all pairs of elements, including each element with itself, as atomic numbers."""
    return list(combinations_with_replacement(sorted(inputs.elements), 2))


def calculate(
    potential: Potential, inputs: Inputs, settings: DimerSettings, raw: RawFolder
) -> None:
    """Calculate the energies of all pairs and of single atoms.

    Args:
        potential: the potential.
        inputs: gives the elements.
        settings: settings of the protocol.
        raw: folder for the energies.

    Raises:
        PestleError: no element is known.
    """
    calculate_single_atoms(potential, inputs.elements, raw, "dimers")
    todo = [pair for pair in pairs(inputs) if not raw.has(_name(pair))]
    with progress(f"dimers of {potential.name}", max(1, len(todo))) as bar:
        for k, pair in enumerate(todo):
            distances = covalent_sum(pair) * np.linspace(
                settings.shortest, settings.longest, settings.points
            )
            frames = [
                Frame(Atoms(numbers=pair, positions=[[0, 0, 0], [0, 0, d]]), source=_name(pair))
                for d in distances
            ]
            said = potential.predict(frames)
            energy = np.array([p.energy for p in said])
            force = np.array([p.forces[1, 2] for p in said])
            raw.write(_name(pair), PairEnergies(distances, energy, force))
            bar.to(k + 1)
    raw.finish()


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: DimerSettings
) -> DimersNumbers:
    """Return curves and flags of all potentials.

    Args:
        raws: potential → its energies.
        inputs: gives the elements.
        settings: settings of the protocol.
    """
    found = {}
    for name, raw in raws.items():
        single = read_single_atoms(raw)
        curves = {}
        for pair in pairs(inputs):
            said = raw.read(_name(pair), PairEnergies)
            energy = said.energy - single[pair[0]] - single[pair[1]]
            curves[_name(pair)] = curve(said.distance, energy, covalent_sum(pair))
        flagged = sum(bool(c.flags) for c in curves.values())
        found[name] = PotentialNumbers(pairs=curves, n_pairs=len(curves), n_flagged=flagged)
    return DimersNumbers(potentials=found)


def curve(distance: np.ndarray, energy: np.ndarray, scale: float) -> Curve:
    """Calculate the numbers and flags of one curve.

    Args:
        distance: [n] Å, ascending.
        energy: [n] eV relative to separated atoms.
        scale: sum of the covalent radii, Å.
    """
    if not np.isfinite(energy).all():
        bad = distance[~np.isfinite(energy)]
        text = f"not finite at {bad[0]:.2f} Å" + (f" and {len(bad) - 1} more" * (len(bad) > 1))
        return Curve(distance=distance.tolist(), energy=energy.tolist(), flags=[text])
    outer = np.flatnonzero(distance >= SHORTEST_BOND * scale)
    start = int(outer[np.argmin(energy[outer])])
    # Going inwards: difference between the highest energy so far and the energy.
    inward = energy[: start + 1][::-1]
    falls = np.maximum.accumulate(inward) - inward
    deepest = int(np.argmax(falls))
    wall = float(energy[0] - energy[start])
    # Minima deeper than RIPPLE outside the main one. The value at infinity is high, so that a
    # decrease towards it also counts as a minimum.
    outside = np.append(energy[start:], np.inf)
    wells = len(find_peaks(-outside, prominence=RIPPLE)[0])
    flags = []
    if falls[deepest] > RIPPLE:
        where = distance[start - deepest]
        depth = _deep(falls[deepest])
        flags.append(f"falls by {depth} eV inwards, down to {where:.2f} Å")
    if wall <= RIPPLE:
        above = f"{figure(wall)} eV above" if wall >= 0 else f"{_deep(-wall)} eV below"
        flags.append(f"no wall: {above} the minimum at {distance[0]:.2f} Å")
    if wells > 0:
        flags.append(f"{counted(wells, 'more well')} outside the minimum")
    return Curve(
        distance=distance.tolist(),
        energy=energy.tolist(),
        r_min=float(distance[start]),
        depth=float(-energy[start]),
        wall=wall,
        fall=float(falls[deepest]),
        wells=1 + wells,
        flags=flags,
    )


def _deep(energy: float) -> str:
    """Return an energy (eV, positive) in words; a number beyond `MEANINGFUL` is not given."""
    return f"more than {MEANINGFUL:,}" if energy > MEANINGFUL else figure(energy)


def charts(measured: Measured[DimersNumbers]) -> list[Chart]:
    """Return one chart per pair with the curves of all potentials."""
    potentials = measured.numbers.potentials
    names = dict.fromkeys(pair for p in potentials.values() for pair in p.pairs)
    found = []
    for pair in names:
        series = [
            Series(name, p.pairs[pair].distance, p.pairs[pair].energy)
            for name, p in potentials.items()
            if pair in p.pairs
        ]
        finite = [e for s in series for e in s.y if e is not None]
        bounds = (max(min(finite), -DRAWN) - 1.0, DRAWN) if finite else None
        found.append(Chart(pair, "distance (Å)", "energy (eV)", series, bounds, size="small"))
    return found


def tables(measured: Measured[DimersNumbers]) -> list[Table]:
    """Return a table with a row for each pair and potential."""
    columns = [
        Column("pair"),
        Column("model"),
        Column("minimum", "Å", 3),
        Column("depth", "eV", 3),
        Column("wall", "eV", 3),
        Column("flags"),
    ]
    potentials = measured.numbers.potentials
    rows = []
    for pair in dict.fromkeys(p for found in potentials.values() for p in found.pairs):
        for name, found in potentials.items():
            one = found.pairs[pair]
            flags = "; ".join(one.flags) or "none"
            deep = one.wall is not None and one.wall < -MEANINGFUL
            wall = f"below −{MEANINGFUL:,}" if deep else one.wall
            rows.append([pair, name, one.r_min, one.depth, wall, flags])
    note = (
        "Wall: energy at the shortest distance minus energy at the minimum. At distances far below "
        "those of the training data a network extrapolates: a wall below zero means that there "
        f"is none, and a number below −{MEANINGFUL:,} eV has no meaning. Atoms that come that "
        f"close fall into each other. The charts end at ±{DRAWN:g} eV."
    )
    return [Table("Curves of two atoms", columns, rows, note)]


def assess(measured: Measured[DimersNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Assess the pairs with flags: all of them, and those without a flag in the foundation.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    potentials, baseline = measured.numbers.potentials, measured.about.baseline
    found = potentials[measured.about.candidate].pairs
    flagged = [pair for pair, curve in found.items() if curve.flags]
    base = potentials[baseline].pairs if baseline is not None else {}
    old = [pair for pair in flagged if pair in base and base[pair].flags]
    limit, total = thresholds["flagged_share"], thresholds["flagged_total"]
    share = (len(flagged) - len(old)) / max(1, len(found))
    of_all = len(flagged) / max(1, len(found))
    level = worst([limit.level(share), total.level(of_all)])
    new = [pair for pair in flagged if pair not in old]
    text = f"All {counted(len(found), 'pair')} of elements repel at short range."
    if flagged:
        text = f"{len(flagged)} of {counted(len(found), 'pair')} of elements have a hole, a second "
        text += f"well, no wall or no finite energy ({_some(flagged)})"
        if base and old:
            text += f", the foundation {len(old)} of them"
            text += f", not {_some(new)}" if new else " too"
        if level == "pass":
            text += ": no worse than the foundation."
        else:
            text += f": {limited(level, 'high pressure or collisions')}"
            if base:
                text += "; replay would keep the repulsion" if new else ", as the foundation"
            text += "."
    if limit.level(share) != level:  # the total decides the level
        limit, share = total, of_all
    return [Finding("dimers", level, "flagged pairs", share, limit.unit, limit.words, text)]


def _some(pairs: list[str]) -> str:
    return ", ".join(pairs[:6]) + (" …" if len(pairs) > 6 else "")


def covalent_sum(pair: tuple[int, int]) -> float:
    """Return the sum of the covalent radii (ASE's; Cordero 2008, DOI 10.1039/b801115j), Å."""
    return float(covalent_radii[pair[0]] + covalent_radii[pair[1]])


def _name(pair: tuple[int, int]) -> str:
    return f"{chemical_symbols[pair[0]]}-{chemical_symbols[pair[1]]}"


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=DimerSettings,
    numbers=DimersNumbers,
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _inputs, settings: f"{settings.points} distances of every pair",
    quick={"points": 60},
)
