"""Protons that move from one molecule, or one end of it, to another: no bond is lost by this.

Acids, enols and hydrogen-bonded liquids exchange protons at ordinary temperatures. Only hydrogen
between N, O, F, S and Cl counts; a hydrogen atom that leaves carbon has reacted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.geometry import find_mic

from pestle.protocols.dynamics.trajectory import Run

#: Atomic numbers of elements between which protons are exchanged.
ELECTRONEGATIVE = (7, 8, 9, 16, 17)


@dataclass(frozen=True)
class Transfer:
    """A proton that has moved.

    Attributes:
        frame: number of the first frame in which it has moved.
        name: `H11 moved from O5 to O3`, atoms counted from 0.
    """

    frame: int
    name: str


def exchanges_protons(first: int, second: int) -> bool:
    """Whether a bond between two elements can lose its proton to another partner.

    Args:
        first, second: atomic numbers.
    """
    return min(first, second) == 1 and max(first, second) in ELECTRONEGATIVE


def follow_proton(
    run: Run, hydrogen: int, donor: int, left: np.ndarray, bonded: float, stretch: float
) -> tuple[np.ndarray, list[Transfer]]:
    """Follow a proton that leaves its first partner.

    A partner takes it over at the length of a bond, and holds it until the distance is too long:
    in the middle between two partners a proton goes back and forth many times.

    Args:
        run: the trajectory.
        hydrogen: index of the proton.
        donor: index of its partner in the first frame.
        left: [n_frames] whether the distance to that partner is too long.
        bonded: two atoms are bonded up to this multiple of the sum of their covalent radii.
        stretch: a later partner has lost it above this multiple.

    Returns:
        [n_frames] whether no partner holds the proton, and its transfers.
    """
    partners = np.flatnonzero(np.isin(run.numbers, ELECTRONEGATIVE))
    sums = covalent_radii[run.numbers[partners]] + covalent_radii[1]
    holder, alone, found = donor, np.zeros(len(run), dtype=bool), list[Transfer]()
    for k in range(int(np.argmax(left)), len(run)):
        apart = run.positions[k][partners] - run.positions[k][hydrogen]
        if not np.isfinite(apart).all():
            alone[k] = True
            continue
        ratio = find_mic(apart.astype(float), run.cells[k], run.pbc)[1] / sums
        gone = left[k] if holder == donor else ratio[partners == holder][0] > stretch
        if not gone:
            continue
        nearest = int(np.argmin(ratio))
        if ratio[nearest] > bonded or partners[nearest] == holder:
            alone[k] = True
            continue
        taker = int(partners[nearest])
        names = [
            f"{chemical_symbols[run.numbers[atom]]}{atom}" for atom in (hydrogen, holder, taker)
        ]
        found.append(Transfer(k, "{} moved from {} to {}".format(*names)))
        holder = taker
    return alone, found
