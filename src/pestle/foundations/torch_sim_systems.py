"""Hold the systems of a torch-sim state as arrays, in the form that the neighbour search takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
import torch
import torch_sim as ts

from pestle.structures.graphs import GraphBatch, unlabelled
from pestle.structures.neighbour_lists import NeighbourLists


@dataclass
class Systems:
    """This class holds all systems of a state on the CPU in float64.

    Attributes:
        numbers: [n_atoms] atomic numbers.
        positions: [n_atoms, 3] Å.
        cells: [n_systems, 3, 3] Å, lattice vectors in rows.
        pbc: [n_systems, 3] bool.
        counts: [n_systems] number of atoms of each system; the atoms of a system are consecutive.
        charge: [n_systems] total charges in e.
        spin: [n_systems] spin multiplicities.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    counts: np.ndarray
    charge: list[float]
    spin: list[float]

    @classmethod
    def of(cls, state: ts.SimState, *, charge: float, spin: float) -> Systems:
        """Copy the systems of a state.

        Args:
            state: the state; not changed.
            charge: total charge in e of every system if the state has no `charge`.
            spin: spin multiplicity of every system if the state has no `spin`.
        """
        positions, cells = (
            values.detach().to("cpu", torch.float64, copy=True).numpy()
            for values in (state.positions, state.row_vector_cell)
        )
        n = len(cells)
        own = (getattr(state, name, None) for name in ("charge", "spin"))
        charges, spins = (
            [default] * n if values is None else values.tolist()
            for values, default in zip(own, (charge, spin), strict=True)
        )
        counts = np.bincount(state.system_idx.cpu().numpy(), minlength=n)
        pbc = np.full((n, 3), bool(state.pbc))
        return cls(
            state.atomic_numbers.cpu().numpy(), positions, cells, pbc, counts, charges, spins
        )

    @property
    def volumes(self) -> np.ndarray:
        """Return the volumes [n_systems] in Å³.

        They have no meaning for systems that are not periodic.
        """
        with np.errstate(invalid="ignore"):
            return np.abs(np.linalg.det(self.cells))

    def part(self, k: int) -> slice:
        """Return the slice that holds the atoms of system k."""
        end = int(self.counts[: k + 1].sum())
        return slice(end - int(self.counts[k]), end)

    def any_of(self, atoms: np.ndarray) -> np.ndarray:
        """Return for each system whether a condition holds for at least one of its atoms.

        Args:
            atoms: [n_atoms] bool, the condition.

        Returns:
            [n_systems] bool.
        """
        system = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(system[atoms], minlength=len(self.counts)) > 0

    def collapsed(self, cutoff: float, max_neighbours: float) -> np.ndarray:
        """Return for each system whether a neighbour list of it is impossible or too large.

        It is impossible if a position or the cell is not finite, and too large for the memory if a
        crystal has collapsed.

        Args:
            cutoff: neighbour cutoff in Å.
            max_neighbours: mean number of neighbours above which a crystal counts as collapsed.

        Returns:
            [n_systems] bool.
        """
        finite = np.isfinite(self.cells).all(axis=(1, 2))
        finite &= ~self.any_of(~np.isfinite(self.positions).all(axis=1))
        neighbours = self.counts * (4 / 3 * pi * cutoff**3)
        return ~finite | (self.pbc.all(axis=1) & (neighbours > max_neighbours * self.volumes))

    def drawn_apart(self, which: np.ndarray, cutoff: float) -> None:
        """Move the atoms of some systems apart, so that they have no neighbours.

        The positions, cells and `pbc` of these systems are changed in place.

        Args:
            which: [n_systems] bool.
            cutoff: neighbour cutoff in Å.
        """
        for k in np.flatnonzero(which).tolist():
            self.positions[self.part(k)] = 0.0
            self.positions[self.part(k), 0] = np.arange(self.counts[k]) * 2 * cutoff
            self.cells[k], self.pbc[k] = 0.0, False

    def graphs(self, lists: NeighbourLists, dtype: torch.dtype) -> GraphBatch:
        """Make the batch of graphs that a foundation predicts.

        Args:
            lists: the neighbour search, which is used from step to step.
            dtype: precision of the graphs.
        """
        system = self.positions, self.cells, self.pbc, self.counts
        return unlabelled(
            self.numbers,
            *system,
            lists.pairs(*system),
            charge=self.charge,
            spin=self.spin,
            dtype=dtype,
        )
