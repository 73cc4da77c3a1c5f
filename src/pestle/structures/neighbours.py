"""Directed pairs of atoms within a cutoff.

The pairs and their order depend only on the structure, to the last bit. A stored list of an earlier
search (neighbour_lists.py) therefore gives the same graphs as a new search.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list

#: Additional reach of the search, Å. The search rounds distances differently; `squared_lengths`
#: decides which pairs are within the cutoff.
MARGIN = 1e-6
#: Smallest reach, Å: the search keeps boxes of this size for the whole cell in memory.
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
        """Return the pairs at some indices [n]."""
        return Pairs(self.edge_index.take(places, axis=1), self.shifts.take(places, axis=0))

    @cached_property
    def across(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices [n] of pairs with a translation, and their translations [3, n]."""
        places = np.flatnonzero(self.shifts.any(axis=1))
        return places, np.ascontiguousarray(self.shifts[places].T)


def neighbours(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> Pairs:
    """Return all pairs closer than the cutoff.

    Args:
        positions: [n_atoms, 3] Å, inside the cell or not.
        cell: [3, 3] Å, rows; vectors along directions that are not periodic are ignored.
        pbc: [3] bool.
        cutoff: Å.
    """
    found = search(positions, cell, pbc, cutoff)
    return found[np.flatnonzero(squared_lengths(positions, found, cell[None]) < cutoff**2)]


def search(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, reach: float) -> Pairs:
    """Return all pairs closer than `reach`, and possibly some more distant ones (MARGIN, LEAST).

    Args:
        positions: [n_atoms, 3] Å, inside the cell or not.
        cell: [3, 3] Å, rows; vectors along directions that are not periodic are ignored.
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
    """Return the pairs sorted by sender, then receiver, then translation.

    Args:
        edge_index: [2, n_pairs] sender and receiver.
        shifts: [n_pairs, 3] lattice translations of the receiver.
    """
    x, y, z = shifts.T
    return Pairs(edge_index, shifts)[np.lexsort((z, y, x, edge_index[1], edge_index[0]))]


def squared_lengths(
    positions: np.ndarray, pairs: Pairs, cells: np.ndarray, batch: np.ndarray | None = None
) -> np.ndarray:
    """Return the squared distances of pairs.

    Every pair is calculated separately. Matrix products are avoided, because their last digits
    depend on the number of rows.

    Args:
        positions: [n_atoms, 3] Å.
        pairs: the pairs.
        cells: [n_systems, 3, 3] Å, rows.
        batch: [n_atoms] system of each atom; needed if there are several systems.

    Returns:
        [n_pairs] Å².
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
    """Return the cell [3, 3] with unit vectors along directions that are not periodic.

    Args:
        cell: [3, 3] Å, rows.
        pbc: [3] bool.
    """
    return cell if pbc.all() else complete_cell(np.where(pbc[:, None], cell, 0.0))
