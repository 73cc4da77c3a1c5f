"""How near atoms may come, how near they like to be, and how much room they take.

Radii: covalent from ASE (Cordero et al. 2008, DOI 10.1039/b801115j); metallic and van der Waals
from PyXtal's element table (DOI 10.1016/j.cpc.2020.107810).
Everything is in Å and Å³; matrices are [97, 97], indexed by atomic numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from matscipy.neighbours import neighbour_list

#: Heaviest element with a covalent radius that was measured, not a default: curium.
HEAVIEST = 96

#: No two atoms come nearer than this share of the sum of their covalent radii.
OVERLAP = 0.45

#: Ordinary periodic structures stay above this share of a contact, compressed ones go below it.
WALL = 0.8

#: Crystals at rest, before they are strained and rattled, stay above this share of a contact.
SHORTEST_BOND = 0.9

#: Directed edges of one structure within EDGE_CUTOFF, the longest cutoff of common foundations.
#: A medium MACE in float64 takes about 1 GB for 100,000 edges: any batch of a few is small.
MAX_EDGES = 6000
EDGE_CUTOFF = 6.0

#: Bonds an atom of a non-metal forms; all others but the noble gases count as metals.
VALENCE = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 32: 4, 33: 3, 34: 2}
VALENCE |= {35: 1, 52: 2, 53: 1, 85: 1}
NOBLE_GASES = (2, 10, 18, 36, 54, 86)

#: Metals of the p block without a metallic radius in the table take this times their covalent one,
#: as indium and thallium beside them do (1.18 and 1.17).
P_BLOCK_METALS = (50, 51, 82, 83, 84)
P_BLOCK_RATIO = 1.17

_NEIGHBOURS_PER_DENSITY = 4 / 3 * np.pi * EDGE_CUTOFF**3


def is_metal(z: int) -> bool:
    """Whether an element counts as a metal here: neither noble gas nor in VALENCE."""
    return z not in VALENCE and z not in NOBLE_GASES


@lru_cache(maxsize=1)
def _radii() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(covalent, metallic, van der Waals) radii [97]; metallic: covalent where none is known."""
    # PyXtal brings pandas and pymatgen along: a second that only those who generate should wait.
    from pyxtal.database.element import Element

    covalent = np.array(covalent_radii[: HEAVIEST + 1])
    metallic, waals = covalent.copy(), covalent.copy()
    for z in range(1, HEAVIEST + 1):
        element = Element(chemical_symbols[z])
        metallic[z] = element.metallic_radius or covalent[z]
        waals[z] = element.vdw_radius
    for z in P_BLOCK_METALS:
        metallic[z] = P_BLOCK_RATIO * covalent[z]
    return covalent, metallic, waals


@lru_cache(maxsize=1)
def covalent_sums() -> np.ndarray:
    """Sums of covalent radii of all pairs."""
    covalent = _radii()[0]
    return covalent[:, None] + covalent[None, :]


@lru_cache(maxsize=1)
def metallic_sums() -> np.ndarray:
    """Sums of metallic radii of all pairs: distances of atoms with twelve neighbours."""
    metallic = _radii()[1]
    return metallic[:, None] + metallic[None, :]


@lru_cache(maxsize=1)
def contacts() -> np.ndarray:
    """Length of a short but unstrained contact of each pair.

    The covalent sum, but for metals the metallic radius where that is smaller (covalent radii of
    d and f metals are longer than half their distance in the metal: U 1.96 against 1.56 Å), and
    for every pair with a noble gas the van der Waals sum.
    """
    covalent, metallic, waals = _radii()
    radius = np.minimum(covalent, metallic)
    lengths = radius[:, None] + radius[None, :]
    for z in NOBLE_GASES:
        lengths[z, :] = lengths[:, z] = waals[z] + waals
    return lengths


@lru_cache(maxsize=1)
def atomic_volumes() -> np.ndarray:
    """Volume of an atom in a solid [97].

    Metals: close-packed spheres of the metallic radius; noble gases: of the van der Waals radius;
    non-metals: the mean of the covalent and the van der Waals sphere, the middle of the range
    PyXtal draws from. Within a factor of 1.7 of experiment for Cu, Na, U, NaCl, MgO, TiO2, UO2.
    """
    covalent, metallic, waals = _radii()
    packed = 4 * np.sqrt(2)  # Å³ per Å³ of cubed radius in a close packing
    volumes = packed * metallic**3
    for z in NOBLE_GASES:
        volumes[z] = packed * waals[z] ** 3
    for z in VALENCE:
        volumes[z] = 2 / 3 * np.pi * (covalent[z] ** 3 + waals[z] ** 3)
    return volumes


def volume_guess(atoms: Atoms) -> float:
    """Volume that the atoms of a structure would take in a solid, Å³."""
    return float(atomic_volumes()[atoms.numbers].sum())


def neighbours(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed pairs within a cutoff: first atom [e], second atom [e], vector between [e, 3]."""
    if atoms.pbc.any():
        return neighbour_list(
            "ijD",
            positions=atoms.positions,
            cell=atoms.cell.array,
            pbc=atoms.pbc,
            cutoff=float(cutoff),
        )
    vectors = atoms.positions[None, :, :] - atoms.positions[:, None, :]
    within = np.linalg.norm(vectors, axis=2) < cutoff
    first, second = np.nonzero(within & ~np.eye(len(atoms), dtype=bool))
    return first, second, vectors[first, second]


def nearest(atoms: Atoms, lengths: np.ndarray | None = None) -> float:
    """Smallest distance of two atoms (images included), as a share of the length of their pair.

    Args:
        atoms: any structure; infinite for a single atom in vacuum.
        lengths: matrix over atomic numbers; None: the distance itself, in Å.
    """
    if len(atoms) < 2 and not atoms.pbc.any():
        return np.inf
    present = np.unique(atoms.numbers)
    longest = 1.0 if lengths is None else float(lengths[np.ix_(present, present)].max())
    reach = 1.0
    while True:
        first, second, vector = neighbours(atoms, reach * longest)
        share = np.linalg.norm(vector, axis=1)
        if lengths is not None:
            share /= lengths[atoms.numbers[first], atoms.numbers[second]]
        # A pair beyond the cutoff has a share above `reach`: below it the minimum is the true one.
        if len(share) and share.min() <= reach:
            return float(share.min())
        reach *= 1.5


def expected_edges(n_atoms: int, volume: float) -> float:
    """Directed edges at EDGE_CUTOFF of so many atoms spread evenly over a periodic cell."""
    return n_atoms**2 / volume * _NEIGHBOURS_PER_DENSITY


def is_sound(atoms: Atoms) -> bool:
    """Whether a structure keeps the bounds on overlap and edges and holds only numbers."""
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return False
    if atoms.pbc.any():
        volume = abs(np.linalg.det(atoms.cell.array))
        # Count only what cannot explode.
        if volume <= 0 or expected_edges(len(atoms), volume) > 2 * MAX_EDGES:
            return False
        if len(neighbours(atoms, EDGE_CUTOFF)[0]) > MAX_EDGES:
            return False
    return nearest(atoms, covalent_sums()) >= OVERLAP
