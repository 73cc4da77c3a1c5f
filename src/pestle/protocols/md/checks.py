"""Analysis of a structure in molecular dynamics: broken bonds, drift of the energy.

A bond is a pair of non-metals closer than 1.2 times the sum of the covalent radii in the first
structure. Only bonds in molecules are monitored. A molecule is a group of bonded atoms that does
not continue through the faces of the cell. Ions, metals and the atoms of a network may diffuse.
Hydrogen bonds are longer than 1.2 times the sum. A proton that has found a new partner has not lost
its bond (transfers.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import neighbor_list
from scipy.stats import t as student

from pestle.protocols.dynamics.trajectory import Run
from pestle.protocols.md.transfers import Transfer, exchanges_protons, follow_proton

#: Two atoms are bonded up to this multiple of the sum of their covalent radii.
BONDED = 1.2
#: Number of frames in a block of the tail; smallest and largest number of blocks.
BLOCK, FEWEST, MOST = 10, 5, 10
#: Atomic numbers of elements that form covalent bonds with each other.
NON_METALS = frozenset(
    [1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 52, 53, 54]
)


@dataclass(frozen=True)
class Bonds:
    """Bonds of the first structure.

    Attributes:
        first, second: [n_bonds] the two atoms.
        shift: [n_bonds, 3] lattice translation of the second atom, in cell vectors.
        length: [n_bonds] Å.
    """

    first: np.ndarray
    second: np.ndarray
    shift: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def bonds_of(atoms: Atoms) -> Bonds:
    """Return the bonds within molecules."""
    i, j, shift, length = neighbor_list(
        "ijSd", atoms, cutoff=BONDED * covalent_radii[atoms.numbers]
    )
    covalent = np.isin(atoms.numbers, list(NON_METALS))
    keep = covalent[i] & covalent[j]
    i, j, shift, length = i[keep], j[keep], shift[keep], length[keep]
    finite = ~_endless(len(atoms), i, j, shift)[i]
    once = finite & (i < j)  # within a molecule no atom is bonded to its own image
    return Bonds(i[once], j[once], shift[once], length[once])


def _endless(n_atoms: int, i: np.ndarray, j: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return [n_atoms] whether the group of bonded atoms around an atom reaches its own image."""
    neighbours: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in range(n_atoms)]
    for a, b, s in zip(i.tolist(), j.tolist(), shift.tolist(), strict=True):
        neighbours[a].append((b, tuple(s)))
    endless = np.zeros(n_atoms, dtype=bool)
    cell_of: dict[int, tuple[int, ...]] = {}
    for start in range(n_atoms):
        if start in cell_of:
            continue
        cell_of[start], members, through = (0, 0, 0), [start], False
        queue = deque([start])
        while queue:
            a = queue.popleft()
            for b, s in neighbours[a]:
                there = tuple(x + y for x, y in zip(cell_of[a], s, strict=True))
                if b not in cell_of:
                    cell_of[b] = there
                    members.append(b)
                    queue.append(b)
                elif cell_of[b] != there:
                    through = True
        endless[members] = through
    return endless


@dataclass(frozen=True)
class Broken:
    """The first bond that broke.

    Attributes:
        frame: number of the frame in which it is broken for the first time.
        name: `O12–H30`, atoms counted from 0.
        before, after: its length in the first structure and in that frame, Å.
    """

    frame: int
    name: str
    before: float
    after: float


def lost_bond(run: Run, stretch: float) -> tuple[Broken | None, list[Transfer]]:
    """Return the first bond that is too long in two successive frames, and the proton transfers.

    Positions are not wrapped into the cell, so that both atoms of a bond stay next to each other.

    Args:
        run: the trajectory.
        stretch: a bond is too long above this multiple of its first length.

    Returns:
        The bond, `None` if none broke; and the transfers by which none was lost, in the order of
        time.
    """
    bonds = bonds_of(run.atoms(0))
    if not len(bonds) or len(run) < 2:
        return None, []
    broken = np.zeros((len(run), len(bonds)), dtype=bool)
    lengths = np.zeros((len(run), len(bonds)), dtype=np.float32)
    for k in range(len(run)):
        there = run.positions[k][bonds.second] + bonds.shift @ run.cells[k]
        lengths[k] = np.linalg.norm(there - run.positions[k][bonds.first], axis=1)
        broken[k] = ~(lengths[k] <= stretch * bonds.length)
    transfers: list[Transfer] = []
    for b in np.flatnonzero(broken.any(axis=0)):
        # The lighter of the two is the proton.
        proton, donor = sorted((bonds.first[b], bonds.second[b]), key=lambda k: run.numbers[k])
        if exchanges_protons(run.numbers[proton], run.numbers[donor]):
            broken[:, b], found = follow_proton(run, proton, donor, broken[:, b], BONDED, stretch)
            transfers += found
    transfers.sort(key=lambda transfer: transfer.frame)
    twice = broken[:-1] & broken[1:]
    if not twice.any():
        return None, transfers
    frame = int(np.argmax(twice.any(axis=1)))
    ratio = np.where(twice[frame], lengths[frame] / bonds.length, 0.0)
    worst = int(np.argmax(ratio))
    names = [
        f"{chemical_symbols[run.numbers[k[worst]]]}{k[worst]}" for k in (bonds.first, bonds.second)
    ]
    first = Broken(frame, "–".join(names), float(bonds.length[worst]), float(lengths[frame, worst]))
    return first, [transfer for transfer in transfers if transfer.frame < frame]


def drift(time: np.ndarray, energy: np.ndarray) -> tuple[float, float] | None:
    """Return the slope of the energy, from a line through the means of blocks, and its uncertainty.

    Energies of neighbouring frames are correlated. With Verlet's algorithm they also oscillate with
    the vibrations. The means of blocks longer than these times are independent (Flyvbjerg and
    Petersen, DOI 10.1063/1.457480). Because there are few blocks, Student's t is used.

    Args:
        time: [n], evenly spaced.
        energy: [n].

    Returns:
        Slope and half-width of its 95 % interval, in units of energy per time; `None` for fewer
        than 5 frames.
    """
    blocks = int(np.clip(len(time) // BLOCK, FEWEST, MOST))
    if len(time) < blocks:
        return None
    t, e = (
        np.array([part.mean() for part in np.array_split(values, blocks)])
        for values in (time, energy)
    )
    t = t - t.mean()
    spread = float(np.sum(t**2))
    slope = float(np.sum(t * e) / spread)
    rest = e - e.mean() - slope * t
    error = float(np.sqrt(np.sum(rest**2) / (blocks - 2) / spread))
    return slope, float(student.ppf(0.975, blocks - 2)) * error
