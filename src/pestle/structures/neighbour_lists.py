"""Neighbour lists of moving atoms: searched beyond the cutoff by a skin, and reused while valid.

A list stores candidate pairs. The pairs within the cutoff are selected from them at every call, so
that the result equals that of `neighbours` bit for bit, whenever the search took place. A list is
replaced as soon as a missing pair could be within the cutoff. Let F be the deformation from the
cell of the search to the present cell, x₀ the positions at the search, and u = x − x₀·F the
displacement of the atoms in addition to the deformation. Two atoms whose distance was `cutoff +
skin` or more now have at least the distance

    (1 − ‖F − 1‖)·(cutoff + skin) − 2·max|u|

In a fixed cell, a list is therefore valid until an atom has moved by more than half the skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pestle.structures.neighbours import Pairs, completed, in_order, search, squared_lengths

#: Skin, Å. At 300 K atoms of a solid rarely move by more than half of it, and there are twice as
#: many candidates as pairs.
SKIN = 1.0


class NeighbourLists:
    """Neighbour lists of one or several moving systems.

    Systems need no names. The positions show whether a list is valid for a system. If systems leave
    the batch, the lists of the others are kept.

    Args:
        cutoff: neighbour cutoff, Å.
        skin: additional distance of the search, Å.
    """

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        self.cutoff, self.skin = float(cutoff), float(skin)
        self._kept = _Batch([])

    def pairs(
        self, positions: np.ndarray, cells: np.ndarray, pbc: np.ndarray, counts: np.ndarray
    ) -> Pairs:
        """Return all pairs closer than the cutoff, in the order of `neighbours`, system by system.

        Args:
            positions: [n_atoms, 3] Å, of all systems one after the other, wrapped or not.
            cells: [n_systems, 3, 3] Å, rows; vectors along directions that are not periodic are
                ignored.
            pbc: [n_systems, 3] bool.
            counts: [n_systems] number of atoms.
        """
        if not pbc.all():
            cells = np.stack([completed(*system) for system in zip(cells, pbc, strict=True)])
        if not self._kept.is_of(counts, pbc):
            self._kept = self._realigned(positions, cells, pbc, counts)
        kept = self._kept
        holds, images = self._holds(kept, positions, cells)
        crossed = holds & kept.any_of((images != 0.0).any(axis=1))
        if crossed.any() or not holds.all():
            lists = list(kept.lists)
            for k, atoms in enumerate(kept.parts):
                if not holds[k]:
                    lists[k] = self._search(positions[atoms], cells[k], pbc[k])
                elif crossed[k]:
                    lists[k] = lists[k].at_images(images[atoms])
            self._kept = kept = _Batch(lists)
        squares = squared_lengths(positions, kept.candidates, cells, kept.system)
        return kept.candidates[np.flatnonzero(squares < self.cutoff**2)]

    def _search(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> _List:
        candidates = search(positions, cell, pbc, self.cutoff + self.skin)
        return _List(positions.copy(), cell.copy(), pbc.copy(), candidates)

    def _holds(
        self, kept: _Batch, positions: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Check which lists are valid.

        Returns:
            [n_systems] whether the list is valid; [n_atoms, 3] lattice vectors that atoms were
            moved by.
        """
        left = np.full(len(cells), self.cutoff + self.skin)
        start, system = kept.positions, kept.system
        if (cells != kept.cells).any():
            deformation = kept.inverses @ cells
            left *= 1.0 - np.linalg.norm(deformation - np.eye(3), axis=(1, 2))
            start = _each(start, deformation, system)
        moved = positions - start
        images = np.rint(_each(moved, kept.inverses, system)) * kept.pbc[system]
        if images.any():
            moved = moved - _each(images, cells, system)
        farthest = np.zeros(len(cells))
        np.maximum.at(farthest, system, np.linalg.norm(moved, axis=1))
        return left - 2.0 * farthest >= self.cutoff, images

    def _realigned(
        self, positions: np.ndarray, cells: np.ndarray, pbc: np.ndarray, counts: np.ndarray
    ) -> _Batch:
        """Return the lists for a changed batch: valid lists of remaining systems are reused."""
        old, found = self._kept.lists, []
        left = max(0, len(old) - len(counts))
        for k, end in enumerate(np.cumsum(counts)):
            own, cell, periodic = positions[end - counts[k] : end], cells[k : k + 1], pbc[k : k + 1]
            for one in old[k : k + left + 1]:
                alone = _Batch([one])
                if alone.is_of(counts[k : k + 1], periodic):
                    holds, _ = self._holds(alone, own, cell)
                    if holds.all():
                        found.append(one)
                        break
            else:
                found.append(self._search(own, cell[0], periodic[0]))
        return _Batch(found)


@dataclass(frozen=True)
class _List:
    """Candidate pairs of one system, and the state of the system when they were searched.

    Attributes:
        positions: [n_atoms, 3] Å.
        cell: [3, 3] Å, with unit vectors along directions that are not periodic.
        pbc: [3] bool.
        candidates: pairs closer than cutoff + skin.
    """

    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    candidates: Pairs

    def at_images(self, images: np.ndarray) -> _List:
        """Return the list after atoms were moved by lattice vectors, for example by wrapping.

        Args:
            images: [n_atoms, 3] lattice vectors by which each atom was moved.
        """
        edge_index, shifts = self.candidates.edge_index, self.candidates.shifts
        shifts = shifts + images[edge_index[0]] - images[edge_index[1]]
        positions = self.positions + images @ self.cell
        return _List(positions, self.cell, self.pbc, in_order(edge_index, shifts))


class _Batch:
    """Joined lists of several systems; `parts` are the slices of their atoms."""

    def __init__(self, lists: Sequence[_List]) -> None:
        self.lists = lists
        self.counts = np.array([len(one.positions) for one in lists], dtype=np.int64)
        ends = np.cumsum(self.counts)
        self.parts = [slice(e - n, e) for e, n in zip(ends, self.counts, strict=True)]
        self.system = np.repeat(np.arange(len(lists)), self.counts)
        if not lists:
            return
        self.positions = np.concatenate([one.positions for one in lists])
        self.cells, self.pbc = (
            np.stack([getattr(one, n) for one in lists]) for n in ("cell", "pbc")
        )
        self.inverses = np.linalg.inv(self.cells)
        self.candidates = Pairs(
            np.concatenate(
                [
                    one.candidates.edge_index + atoms.start
                    for one, atoms in zip(lists, self.parts, strict=True)
                ],
                axis=1,
            ),
            np.concatenate([one.candidates.shifts for one in lists]),
        )

    def is_of(self, counts: np.ndarray, pbc: np.ndarray) -> bool:
        """Whether its systems have these numbers of atoms and these periodicities."""
        return np.array_equal(self.counts, counts) and bool(
            not self.lists or np.array_equal(self.pbc, pbc)
        )

    def any_of(self, atoms: np.ndarray) -> np.ndarray:
        """Return [n_systems]: whether the condition [n_atoms] is true for any atom of a system."""
        return np.bincount(self.system[atoms], minlength=len(self.lists)) > 0


def _each(vectors: np.ndarray, matrices: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Multiply row vectors [n_atoms, 3] by the matrix of their system."""
    if len(matrices) == 1:
        return vectors @ matrices[0]
    return np.matmul(vectors[:, None, :], matrices[system])[:, 0, :]
