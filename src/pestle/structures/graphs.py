"""Neighbour graphs of frames and their batches: the input of a foundation model.

A `GraphBatch` contains one or more structures; `collate` joins batches. `batch` gives the structure
of each atom. Edges point from sender to receiver: r_ij = r_receiver − r_sender + unit_shift · cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from pestle.structures.frame import Frame
from pestle.structures.neighbours import Pairs, neighbours


@dataclass
class GraphBatch:
    """Structures as tensors. Floats are in the network's dtype unless stated otherwise.

    Attributes:
        numbers: [n_atoms] atomic numbers, int64.
        positions: [n_atoms, 3] Å.
        cell: [n_graphs, 3, 3] Å, rows are lattice vectors (zero for structures that are not
            periodic).
        edge_index: [2, n_edges] sender and receiver, int64.
        unit_shifts: [n_edges, 3] lattice translations of the receiver.
        batch: [n_atoms] graph of each atom, int64.
        ptr: [n_graphs + 1] first atom of each graph, int64.
        head: [n_graphs] index of the head that predicts the graph, int64.
        charge, spin: [n_graphs] total charge (e) and spin multiplicity; 0 and 1 unless given.
        periodic: [n_graphs] bool: whether a stress is defined.
        energy: [n_graphs] eV, always float64, because totals may be large.
        forces: [n_atoms, 3] eV/Å.
        stress: [n_graphs, 3, 3] eV/Å³.
        energy_weight, forces_weight, stress_weight: [n_graphs] weight of the frame times that of
            the property; exactly 0 if the label is missing (the label itself is then 0 and not
            used).
        frame: [n_graphs] index of the frame in the list from which the graphs were made, int64.
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
        """Number of graphs."""
        return int(self.ptr.shape[0] - 1)

    @property
    def n_atoms(self) -> torch.Tensor:
        """Number of atoms in each graph, [n_graphs]."""
        return self.ptr[1:] - self.ptr[:-1]

    @property
    def n_edges(self) -> int:
        """Total number of edges."""
        return int(self.edge_index.shape[1])

    @property
    def has_stress(self) -> bool:
        """Whether any graph has a stress label with a weight above zero."""
        return bool((self.stress_weight != 0).any())

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> GraphBatch:
        """Return a copy on another device.

        Args:
            device: the device.
            dtype: dtype of the floats; `None` keeps theirs. Total energies stay float64.
        """
        moved = {}
        for item in fields(self):
            tensor = getattr(self, item.name)
            cast = dtype if tensor.is_floating_point() and item.name != "energy" else None
            moved[item.name] = tensor.to(device=device, dtype=cast)
        return GraphBatch(**moved)

    def with_head(self, head: int) -> GraphBatch:
        """Return the same structures, assigned to one head.

        Args:
            head: index of the head.
        """
        return replace(self, head=torch.full_like(self.head, head))


def unlabelled(
    numbers: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray,
    pbc: np.ndarray,
    counts: np.ndarray,
    pairs: Pairs,
    *,
    charge: Sequence[float],
    spin: Sequence[float],
    dtype: torch.dtype = torch.float64,
) -> GraphBatch:
    """Make the batch of several structures without labels; the frame numbers are 0, 1, ….

    Args:
        numbers: [n_atoms] atomic numbers of all structures, one after the other.
        positions: [n_atoms, 3] Å.
        cells: [n_graphs, 3, 3] Å, lattice vectors are rows.
        pbc: [n_graphs, 3] bool.
        counts: [n_graphs] number of atoms in each structure.
        pairs: the edges.
        charge, spin: [n_graphs] total charge (e) and spin multiplicity.
        dtype: dtype of the floats (the total energy stays float64).
    """
    n_atoms, n_graphs = len(numbers), len(counts)
    per_graph = torch.as_tensor(counts, dtype=torch.int64)

    def real(values: object) -> torch.Tensor:
        return torch.tensor(np.asarray(values, dtype=float), dtype=dtype)  # a copy in any case

    def nothing(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype)

    return GraphBatch(
        numbers=torch.tensor(numbers, dtype=torch.int64),
        positions=real(positions),
        cell=real(np.where(pbc[:, :, None], cells, 0.0)),
        edge_index=torch.tensor(pairs.edge_index),
        unit_shifts=real(pairs.shifts),
        batch=torch.repeat_interleave(torch.arange(n_graphs), per_graph),
        ptr=torch.cat([torch.zeros(1, dtype=torch.int64), per_graph.cumsum(0)]),
        head=torch.zeros(n_graphs, dtype=torch.int64),
        charge=real(charge),
        spin=real(spin),
        periodic=torch.tensor(pbc.all(axis=1)),
        energy=torch.zeros(n_graphs, dtype=torch.float64),
        forces=nothing(n_atoms, 3),
        stress=nothing(n_graphs, 3, 3),
        energy_weight=nothing(n_graphs),
        forces_weight=nothing(n_graphs),
        stress_weight=nothing(n_graphs),
        frame=torch.arange(n_graphs),
    )


def make_graph(
    frame: Frame, cutoff: float, *, index: int = 0, dtype: torch.dtype = torch.float64
) -> GraphBatch:
    """Make the graph of one frame with its labels and weights.

    Args:
        frame: the structure.
        cutoff: neighbour cutoff, Å.
        index: value for `GraphBatch.frame`.
        dtype: dtype of the floats (the total energy stays float64).
    """
    atoms, pbc = frame.atoms, np.asarray(frame.atoms.pbc, dtype=bool)
    positions = np.asarray(atoms.positions, dtype=float)
    cell = np.asarray(atoms.cell.array, dtype=float)
    bare = unlabelled(
        atoms.numbers,
        positions,
        cell[None],
        pbc[None],
        np.array([len(atoms)]),
        neighbours(positions, cell, pbc, cutoff),
        charge=[0.0 if frame.charge is None else frame.charge],
        spin=[1.0 if frame.spin is None else frame.spin],
        dtype=dtype,
    )

    def label(value: np.ndarray | None, empty: torch.Tensor) -> torch.Tensor:
        if value is None:
            return empty
        return torch.tensor(np.asarray(value, dtype=float), dtype=dtype).reshape(empty.shape)

    def weight(label: object, own: float) -> torch.Tensor:
        return torch.tensor([0.0 if label is None else frame.weight * own], dtype=dtype)

    return replace(
        bare,
        energy=torch.tensor([frame.energy or 0.0], dtype=torch.float64),
        forces=label(frame.forces, bare.forces),
        stress=label(frame.stress, bare.stress),
        energy_weight=weight(frame.energy, frame.energy_weight),
        forces_weight=weight(frame.forces, frame.forces_weight),
        stress_weight=weight(frame.stress, frame.stress_weight),
        frame=torch.tensor([index]),
    )


def make_graphs(
    frames: Sequence[Frame], cutoff: float, *, dtype: torch.dtype = torch.float64
) -> list[GraphBatch]:
    """Make the graphs of many frames, numbered in order.

    Args:
        frames: the structures with their labels.
        cutoff: neighbour cutoff, Å.
        dtype: dtype of the floats (the total energy stays float64).
    """
    return [make_graph(f, cutoff, index=k, dtype=dtype) for k, f in enumerate(frames)]


def collate(graphs: Sequence[GraphBatch]) -> GraphBatch:
    """Join graphs (or batches) into one batch.

    Args:
        graphs: graphs on the CPU with one dtype.

    Returns:
        The batch; its graphs keep their order and their `frame` numbers.
    """
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
