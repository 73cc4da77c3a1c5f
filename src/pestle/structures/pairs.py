"""Pairs of atoms within a distance, for checks and comparisons of structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list
from scipy.spatial import cKDTree

from pestle.structures.frame import Frame

# Pairs are searched up to this multiple of the sum of covalent radii. Every molecule and nearly
# every solid has a pair below it; a file in Bohr has none, because its distances are 1.89 times too
# long.
SEARCH_FRACTION = 1.35


@dataclass
class Pairs:
    """Pairs of atoms (each once, with periodic images) within the search distance of a frame.

    Attributes:
        first, second: [n_pairs] indices of the atoms.
        distance: [n_pairs] Å.
        ratio: [n_pairs] distance divided by the sum of the covalent radii.
        cutoff: search distance in Å; all pairs up to it are included.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray
    cutoff: float


def pairs_within(frame: Frame, cutoff: float) -> Pairs:
    """Return all pairs up to a distance; the search is linear in the number of atoms.

    Args:
        frame: the structure.
        cutoff: the distance, Å.
    """
    atoms = frame.atoms
    if not atoms.pbc.any():
        found = cKDTree(atoms.positions).query_pairs(cutoff, output_type="ndarray")
        i, j = found[:, 0], found[:, 1]
        d = np.linalg.norm(atoms.positions[j] - atoms.positions[i], axis=1)
    else:
        i, j, d = neighbour_list("ijd", atoms=_boxed(frame, cutoff), cutoff=cutoff)
        # Each pair comes twice. Images of an atom on itself have i == j: keep every second one.
        own = i == j
        keep = i < j
        own_index = np.flatnonzero(own)
        keep[own_index[np.argsort(d[own_index], kind="stable")[::2]]] = True
        i, j, d = i[keep], j[keep], d[keep]
    radii = covalent_radii[frame.numbers]
    return Pairs(i, j, d, d / (radii[i] + radii[j]), cutoff)


def _boxed(frame: Frame, cutoff: float) -> Atoms:
    """Return the atoms in a box that encloses them along directions that are not periodic."""
    atoms = frame.atoms
    if atoms.pbc.all():
        return atoms
    boxed = atoms.copy()
    cell = atoms.cell.array.copy()
    cell[~atoms.pbc] = 0.0
    boxed.set_cell(cell)
    boxed.center(vacuum=cutoff, axis=np.flatnonzero(~atoms.pbc))
    return boxed


def bonded_pairs(frame: Frame) -> Pairs:
    """Return all pairs up to `SEARCH_FRACTION` times the largest sum of covalent radii."""
    return pairs_within(frame, SEARCH_FRACTION * 2 * float(covalent_radii[frame.numbers].max()))
