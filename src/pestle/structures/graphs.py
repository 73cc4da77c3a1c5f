"""Neighbour graphs of frames and their batches: what a foundation model reads.

A `GraphBatch` holds one or many structures; `collate` joins batches. Structures are numbered by
`batch`, edges point from sender to receiver, r_ij = r_receiver − r_sender + unit_shift · cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list

from pestle.structures.frame import Frame


@dataclass
class GraphBatch:
    """Structures as tensors. Floats are in the network's dtype unless said otherwise.

    Attributes:
        numbers: [n_atoms] atomic numbers, int64.
        positions: [n_atoms, 3] Å.
        cell: [n_graphs, 3, 3] Å, rows are lattice vectors (zero for non-periodic structures).
        edge_index: [2, n_edges] sender and receiver, int64.
        unit_shifts: [n_edges, 3] lattice translations of the receiver.
        batch: [n_atoms] graph of each atom, int64.
        ptr: [n_graphs + 1] first atom of each graph, int64.
        head: [n_graphs] index of the head that predicts it, int64.
        charge, spin: [n_graphs] total charge (e) and spin multiplicity; 0 and 1 unless given.
        periodic: [n_graphs] bool: whether a stress is defined.
        energy: [n_graphs] eV, float64 always: totals may be large.
        forces: [n_atoms, 3] eV/Å.
        stress: [n_graphs, 3, 3] eV/Å³.
        energy_weight, forces_weight, stress_weight: [n_graphs] the frame's weight times that of the
            property; exactly 0 where the label is missing (the label itself is then 0 and unused).
        frame: [n_graphs] index of the frame in the list the graphs were made from, int64.
    """

    numbers: torch.Tensor
    positions: torch.Tensor
    cell: torch.Tensor
    edge_index: torch.Tensor
    unit_shifts: torch.Tensor
    batch: torch.Tensor
    ptr: torch.Tensor
    head: torch.Tensor
    charge: torch.Tensor
    spin: torch.Tensor
    periodic: torch.Tensor
    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor
    energy_weight: torch.Tensor
    forces_weight: torch.Tensor
    stress_weight: torch.Tensor
    frame: torch.Tensor

    @property
    def n_graphs(self) -> int:
        return int(self.ptr.shape[0] - 1)

    @property
    def n_atoms(self) -> torch.Tensor:
        """Atoms of each graph, [n_graphs]."""
        return self.ptr[1:] - self.ptr[:-1]

    @property
    def n_edges(self) -> int:
        return int(self.edge_index.shape[1])

    @property
    def has_stress(self) -> bool:
        """Whether any graph carries a stress label that counts."""
        return bool((self.stress_weight != 0).any())

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> GraphBatch:
        """A copy on `device`; floats become `dtype`, except the total energies (float64)."""
        moved = {}
        for item in fields(self):
            tensor = getattr(self, item.name)
            cast = dtype if tensor.is_floating_point() and item.name != "energy" else None
            moved[item.name] = tensor.to(device=device, dtype=cast)
        return GraphBatch(**moved)

    def with_head(self, head: int) -> GraphBatch:
        """The same structures, all predicted by one head."""
        return replace(self, head=torch.full_like(self.head, head))


def _neighbours(atoms_cell: np.ndarray, pbc: np.ndarray, positions: np.ndarray, cutoff: float):
    """Directed pairs within the cutoff: sender [e], receiver [e], unit shifts [e, 3]."""
    # Along directions that are not periodic the cell vector only has to exist: give the neighbour
    # search a box that encloses the atoms there, so that none falls outside its bins.
    cell = complete_cell(np.where(pbc[:, None], atoms_cell, 0.0)) if not pbc.all() else atoms_cell
    origin = np.zeros(3)
    if not pbc.all():
        cell = cell.copy()
        lengths = np.linalg.norm(cell, axis=1)
        fractional = positions @ np.linalg.inv(cell)
        for axis in np.flatnonzero(~pbc):
            low, high = fractional[:, axis].min(), fractional[:, axis].max()
            margin = cutoff / lengths[axis]
            origin += (low - margin) * cell[axis]
            cell[axis] *= high - low + 2 * margin
    return neighbour_list(
        "ijS", positions=positions - origin, cell=cell, pbc=pbc, cutoff=float(cutoff)
    )


def make_graph(
    frame: Frame, cutoff: float, *, index: int = 0, dtype: torch.dtype = torch.float64
) -> GraphBatch:
    """The graph of one frame with its labels and weights.

    Args:
        frame: the structure.
        cutoff: neighbour cutoff in Å.
        index: written to `GraphBatch.frame`.
        dtype: dtype of the floats (the total energy stays float64).
    """
    atoms = frame.atoms
    n_atoms = len(atoms)
    pbc = np.asarray(atoms.pbc, dtype=bool)
    sender, receiver, shifts = _neighbours(
        np.asarray(atoms.cell.array, dtype=float), pbc, atoms.positions, cutoff
    )

    def real(value: object, shape: tuple[int, ...]) -> torch.Tensor:
        array = np.zeros(shape) if value is None else np.asarray(value, dtype=float)
        return torch.tensor(array.reshape(shape), dtype=dtype)  # a copy, never the frame's own

    def weight(label: object, own: float) -> torch.Tensor:
        return real(0.0 if label is None else frame.weight * own, (1,))

    return GraphBatch(
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        positions=real(atoms.positions, (n_atoms, 3)),
        cell=real(np.where(pbc[:, None], atoms.cell.array, 0.0), (1, 3, 3)),
        edge_index=torch.as_tensor(np.stack([sender, receiver]), dtype=torch.int64),
        unit_shifts=real(shifts, (len(sender), 3)),
        batch=torch.zeros(n_atoms, dtype=torch.int64),
        ptr=torch.tensor([0, n_atoms]),
        head=torch.zeros(1, dtype=torch.int64),
        charge=real(0.0 if frame.charge is None else frame.charge, (1,)),
        spin=real(1.0 if frame.spin is None else frame.spin, (1,)),
        periodic=torch.tensor([frame.is_periodic]),
        energy=torch.tensor([frame.energy or 0.0], dtype=torch.float64),
        forces=real(frame.forces, (n_atoms, 3)),
        stress=real(frame.stress, (1, 3, 3)),
        energy_weight=weight(frame.energy, frame.energy_weight),
        forces_weight=weight(frame.forces, frame.forces_weight),
        stress_weight=weight(frame.stress, frame.stress_weight),
        frame=torch.tensor([index]),
    )


def make_graphs(
    frames: Sequence[Frame], cutoff: float, *, dtype: torch.dtype = torch.float64
) -> list[GraphBatch]:
    """Graphs of many frames, numbered in their order."""
    return [make_graph(f, cutoff, index=k, dtype=dtype) for k, f in enumerate(frames)]


def collate(graphs: Sequence[GraphBatch]) -> GraphBatch:
    """Join graphs (or batches) into one batch."""
    if len(graphs) == 1:
        return graphs[0]
    joined = {
        item.name: torch.cat([getattr(g, item.name) for g in graphs])
        for item in fields(GraphBatch)
        if item.name not in ("batch", "ptr", "edge_index")
    }
    edge_index, batch, ptr = [], [], [torch.zeros(1, dtype=torch.int64)]
    atoms = count = 0
    for graph in graphs:
        edge_index.append(graph.edge_index + atoms)
        batch.append(graph.batch + count)
        ptr.append(graph.ptr[1:] + atoms)
        atoms += int(graph.ptr[-1])
        count += graph.n_graphs
    return GraphBatch(
        **joined,
        edge_index=torch.cat(edge_index, dim=1),
        batch=torch.cat(batch),
        ptr=torch.cat(ptr),
    )
