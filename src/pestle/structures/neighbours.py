"""Directed pairs of atoms within a cutoff.

Which pairs there are and in which order they come follows from the structure alone, to the last
bit. A list that was searched earlier and is kept (neighbour_lists.py) therefore gives the same
graphs as a new search.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list

#: Å by which the search reaches further. It rounds distances in its own way; which pairs lie within
#: the cutoff is decided from `squared_lengths`.
MARGIN = 1e-6
#: Å that it reaches at least: it keeps boxes as large as its reach for the whole cell in memory.
LEAST = 3.0


@dataclass(frozen=True)
class Pairs:
    """Directed pairs, ordered by sender, then receiver, then translation.

    Attributes:
        edge_index: [2, n_pairs] sender and receiver, int64.
        shifts: [n_pairs, 3] lattice translations of the receiver, float64.
    """

    edge_index: np.ndarray
    shifts: np.ndarray

    def __len__(self) -> int:
        return len(self.shifts)

    def __getitem__(self, places: np.ndarray) -> Pairs:
        """Those at some places [n]."""
        return Pairs(self.edge_index.take(places, axis=1), self.shifts.take(places, axis=0))

    @cached_property
    def across(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the pairs that have a translation [n], and their translations [3, n]."""
        places = np.flatnonzero(self.shifts.any(axis=1))
        return places, np.ascontiguousarray(self.shifts[places].T)


def neighbours(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> Pairs:
    """All pairs nearer than the cutoff.

    Args:
        positions: [n_atoms, 3] Å, within the cell or not.
        cell: [3, 3] Å, rows; those of directions without periodicity are not read.
        pbc: [3] bool.
        cutoff: Å.
    """
    found = search(positions, cell, pbc, cutoff)
    return found[np.flatnonzero(squared_lengths(positions, found, cell[None]) < cutoff**2)]


def search(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, reach: float) -> Pairs:
    """All pairs nearer than `reach`, and perhaps some that are further away (MARGIN, LEAST).

    Args:
        positions: [n_atoms, 3] Å, within the cell or not.
        cell: [3, 3] Å, rows; those of directions without periodicity are not read.
        pbc: [3] bool.
        reach: Å.
    """
    cutoff = max(float(reach) + MARGIN, LEAST)
    box, origin = np.asarray(cell, dtype=float), np.zeros(3)
    if not pbc.all():
        # Along directions that are not periodic the cell vector only has to exist: give the search
        # a box that encloses the atoms there, so that none falls outside its bins.
        box = completed(box, pbc).copy()
        lengths = np.linalg.norm(box, axis=1)
        fractional = positions @ np.linalg.inv(box)
        for axis in np.flatnonzero(~pbc):
            low, high = fractional[:, axis].min(), fractional[:, axis].max()
            margin = cutoff / lengths[axis]
            origin += (low - margin) * box[axis]
            box[axis] *= high - low + 2 * margin
    sender, receiver, shifts = neighbour_list(
        "ijS", positions=positions - origin, cell=box, pbc=pbc, cutoff=cutoff
    )
    edge_index = np.stack([sender, receiver]).astype(np.int64)
    return in_order(edge_index, shifts.astype(float))


def in_order(edge_index: np.ndarray, shifts: np.ndarray) -> Pairs:
    """Pairs, sorted."""
    x, y, z = shifts.T
    return Pairs(edge_index, shifts)[np.lexsort((z, y, x, edge_index[1], edge_index[0]))]


def squared_lengths(
    positions: np.ndarray, pairs: Pairs, cells: np.ndarray, batch: np.ndarray | None = None
) -> np.ndarray:
    """Squared distances [n_pairs], Å².

    Every pair is computed on its own, without products of matrices, whose last digits depend on how
    many rows there are.

    Args:
        positions: [n_atoms, 3] Å.
        pairs: of which.
        cells: [n_systems, 3, 3] Å, rows.
        batch: [n_atoms] system of each atom; needed where there are several.
    """
    sender, receiver = pairs.edge_index
    places, shifts = pairs.across
    system = 0 if batch is None else batch.take(sender.take(places))
    total = np.zeros(len(pairs))
    for axis in range(3):
        along = np.ascontiguousarray(positions[:, axis])
        distance = along.take(receiver) - along.take(sender)
        a, b, c = (cells[:, row, axis].take(system) for row in range(3))
        distance[places] += shifts[0] * a + shifts[1] * b + shifts[2] * c
        total += distance * distance
    return total


def completed(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell [3, 3] with unit vectors in directions without periodicity."""
    return cell if pbc.all() else complete_cell(np.where(pbc[:, None], cell, 0.0))
