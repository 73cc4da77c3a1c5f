"""The systems of a torch-sim state as arrays, as the neighbour search takes them."""

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
    """All systems of a state, on the CPU and in float64.

    Attributes:
        numbers: [n_atoms] atomic numbers.
        positions: [n_atoms, 3] Å.
        cells: [n_systems, 3, 3] Å, rows.
        pbc: [n_systems, 3] bool.
        counts: [n_systems] atoms; those of a system follow on one another.
        charge, spin: [n_systems].
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
        """Copied from a state; charge and spin hold for all unless the state has its own."""
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
        """[n_systems] Å³; those of systems without periodic boundaries mean nothing."""
        with np.errstate(invalid="ignore"):
            return np.abs(np.linalg.det(self.cells))

    def part(self, k: int) -> slice:
        """The atoms of system k."""
        end = int(self.counts[: k + 1].sum())
        return slice(end - int(self.counts[k]), end)

    def any_of(self, atoms: np.ndarray) -> np.ndarray:
        """Whether something holds for any atom of a system [n_systems]."""
        system = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(system[atoms], minlength=len(self.counts)) > 0

    def collapsed(self, cutoff: float, max_neighbours: float) -> np.ndarray:
        """Systems without a neighbour list, or with none that fits in memory [n_systems].

        Args:
            cutoff: Å.
            max_neighbours: mean number of neighbours above which a crystal has collapsed.
        """
        finite = np.isfinite(self.cells).all(axis=(1, 2))
        finite &= ~self.any_of(~np.isfinite(self.positions).all(axis=1))
        neighbours = self.counts * (4 / 3 * pi * cutoff**3)
        return ~finite | (self.pbc.all(axis=1) & (neighbours > max_neighbours * self.volumes))

    def drawn_apart(self, which: np.ndarray, cutoff: float) -> None:
        """Leave the atoms of some systems [n_systems] no neighbours."""
        for k in np.flatnonzero(which).tolist():
            self.positions[self.part(k)] = 0.0
            self.positions[self.part(k), 0] = np.arange(self.counts[k]) * 2 * cutoff
            self.cells[k], self.pbc[k] = 0.0, False

    def graphs(self, lists: NeighbourLists, dtype: torch.dtype) -> GraphBatch:
        """What a foundation predicts."""
        system = self.positions, self.cells, self.pbc, self.counts
        return unlabelled(
            self.numbers,
            *system,
            lists.pairs(*system),
            charge=self.charge,
            spin=self.spin,
            dtype=dtype,
        )
