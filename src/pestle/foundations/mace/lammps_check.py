"""Run mace's LAMMPS files as LAMMPS does and compare them with the foundation they were made from.

The input that LAMMPS gives and its use of the output follow its source code: `pair_mace.cpp` of the
ACEsuit branch, and `mliap_data.cpp`, `mliap_unified.cpp` and `mliap_unified_couple_kokkos.pyx` of
LAMMPS (4 Jul 2026). As in LAMMPS, torch's default dtype is float32 here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.mace.runtime import default_dtype
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, make_graph

#: Allowed difference, relative to the largest value of a quantity or, if that is smaller, to 1.
TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-4}
#: Distance between neighbours in the test structures, Å.
SPACING = 2.4


@dataclass
class Result:
    """This class holds what a file gives for one structure.

    Attributes:
        energy: total energy in eV.
        energies: [n_atoms] eV, energies of the atoms.
        forces: [n_atoms, 3] eV/Å.
        stress: [3, 3] eV/Å³; `None` for a structure that is not periodic.
    """

    energy: float
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray | None


def samples(elements: tuple[int, ...], cutoff: float) -> list[Frame]:
    """Make two test structures that contain every situation a file has to handle.

    They are a dense triclinic crystal, and a cluster beside one isolated atom of every element.

    Args:
        elements: atomic numbers that the model knows.
        cutoff: neighbour cutoff in Å.
    """
    generator = np.random.default_rng(0)
    corners = np.argwhere(np.ones((2, 2, 2))) * SPACING
    cell = 2 * SPACING * (np.eye(3) + np.tril(np.full((3, 3), 0.15), -1))

    def crowd(count: int) -> tuple[np.ndarray, np.ndarray]:
        rattled = corners[:count] + generator.uniform(-0.2, 0.2, (count, 3))
        return generator.choice(elements, count), rattled

    numbers, positions = crowd(8)
    box = Atoms(numbers, positions=positions, cell=cell, pbc=True)
    numbers, positions = crowd(6)
    side = int(np.ceil((len(elements) + 1) ** (1 / 3)))
    places = np.argwhere(np.ones((side, side, side)))[1 : len(elements) + 1]
    lone = places * (cutoff + 2 * SPACING)
    cluster = Atoms([*numbers, *elements], positions=np.concatenate([positions, lone]))
    return [Frame(box, source="test box"), Frame(cluster, source="test cluster")]


def expected(single: Foundation, frame: Frame) -> Result:
    """Predict a structure with the foundation.

    Args:
        single: model with one head on the CPU.
        frame: the structure.
    """
    graph = make_graph(frame, single.cutoff, dtype=single.dtype)
    prediction = single.predict(graph, stress=True)
    stress = None if prediction.stress is None else prediction.stress[0].double().numpy()
    e0s = single.reference_energies[single.heads[0]]
    shares = prediction.node_energies.double().numpy()
    return Result(
        energy=float(prediction.energy[0]),
        energies=shares + np.array([e0s[int(z)] for z in frame.numbers]),
        forces=prediction.forces.double().numpy(),
        stress=stress if frame.is_periodic else None,
    )


# -- pair_style mace ------------------------------------------------------------------------------
def run_torchscript(path: Path, frames: Sequence[Frame]) -> list[Result]:
    """Predict structures with a TorchScript file as `pair_mace.cpp` does.

    Args:
        path: the file.
        frames: the structures.
    """
    module = torch.jit.load(str(path), map_location="cpu")
    return [_run_torchscript(module, frame) for frame in frames]


def _run_torchscript(module: Any, frame: Frame) -> Result:
    """Predict one structure with the loaded module."""
    dtype = dict(module.named_parameters())["model.node_embedding.linear.weight"].dtype
    graph = make_graph(frame, float(module.r_max), dtype=dtype)
    n_atoms, known = len(frame), module.atomic_numbers.tolist()
    columns = [known.index(z) for z in frame.numbers.tolist()]

    def call(mask: torch.Tensor) -> dict[str, np.ndarray]:
        inputs = {
            "batch": graph.batch.clone(),
            "cell": graph.cell[0].clone(),
            "edge_index": graph.edge_index.clone(),
            "energy": torch.zeros(1, dtype=dtype),
            "forces": torch.zeros(n_atoms, 3, dtype=dtype),
            "node_attrs": torch.eye(len(known), dtype=dtype)[columns],
            "positions": graph.positions.clone(),
            "ptr": graph.ptr.clone(),
            "shifts": graph.unit_shifts @ graph.cell[0],
            "unit_shifts": graph.unit_shifts.clone(),
            "weight": torch.ones(1, dtype=dtype),
        }
        with torch.enable_grad():
            out = module(inputs, mask, True)
        return {key: value.detach().double().numpy() for key, value in out.items()}

    if frame.is_periodic:
        parts = [call(torch.ones(n_atoms, dtype=torch.bool))]
    else:  # as on two processors: each has the other's atoms as ghosts, and LAMMPS adds the results
        first = torch.arange(n_atoms) % 2 == 0
        parts = [call(first), call(~first)]
    virial = np.sum([p["virials"][0] for p in parts], axis=0)
    return Result(
        energy=sum(float(p["total_energy_local"][0]) for p in parts),
        energies=parts[0]["node_energy"],
        forces=np.sum([p["forces"] for p in parts], axis=0),
        stress=-virial / frame.atoms.get_volume() if frame.is_periodic else None,
    )


# -- pair_style mliap -----------------------------------------------------------------------------
class MliapData:
    """This class has the fields and methods of LAMMPS's `MLIAPDataPy` that mace uses.

    Images of atoms beyond a periodic boundary are ghost atoms, numbered after the local atoms.

    Args:
        graph: the structure with its neighbours.
        elements: [n_atoms] index of each atom's element in the model's list.
    """

    def __init__(self, graph: GraphBatch, elements: np.ndarray) -> None:
        sender, receiver = graph.edge_index.numpy()
        shifts = graph.unit_shifts.numpy().round().astype(int)
        images = np.concatenate([receiver[:, None], shifts], axis=1)
        outside = shifts.any(axis=1)
        ghosts, which = np.unique(images[outside], axis=0, return_inverse=True)
        neighbour = receiver.copy()
        neighbour[outside] = len(elements) + which.reshape(-1)
        #: For every atom the local atom that it is or, for a ghost, whose image it is.
        self.owner = np.concatenate([np.arange(len(elements)), ghosts[:, 0]]).astype(int)
        positions, cell = graph.positions.double().numpy(), graph.cell[0].double().numpy()
        placed = positions[self.owner]
        placed[len(elements) :] += ghosts[:, 1:] @ cell
        self.nlocal, self.ntotal = len(elements), len(self.owner)
        self.nlistatoms, self.npairs = self.nlocal, len(sender)
        self.pair_i, self.pair_j = sender.astype(np.int32), neighbour.astype(np.int32)
        self.elems = elements[self.owner].astype(np.int32)
        self.rij = placed[neighbour] - positions[sender]
        self.eatoms = np.zeros(self.nlocal)
        self.energy = 0.0
        self.forces = np.zeros((self.ntotal, 3))
        self.virial = np.zeros((3, 3))

    def forward_exchange(self, source: torch.Tensor, target: torch.Tensor, _width: int) -> None:
        """Copy the values of the local atoms to all atoms, including their ghosts.

        Args:
            source: [nlocal, width] values of the local atoms.
            target: [ntotal, width]; filled in place.
            _width: not used.
        """
        target.copy_(source[self.owner])

    def reverse_exchange(self, source: torch.Tensor, target: torch.Tensor, _width: int) -> None:
        """Add the values of all atoms, including ghosts, to their local atoms.

        Args:
            source: [ntotal, width] values of all atoms.
            target: [nlocal, width]; filled in place.
            _width: not used.
        """
        target.zero_().index_add_(0, torch.as_tensor(self.owner), source)

    def update_pair_forces_gpu(self, pair_forces: torch.Tensor) -> None:
        """Add pair forces to the forces and the virial.

        dE/dr_ij is added to the force on atom i and subtracted from that on atom j; the virial is
        −Σ r_ij dE/dr_ij.

        Args:
            pair_forces: [npairs, 3] dE/dr_ij in eV/Å.
        """
        values = pair_forces.detach().numpy()
        np.add.at(self.forces, self.pair_i, values)
        np.subtract.at(self.forces, self.pair_j, values)
        self.virial -= self.rij.T @ values


def run_mliap(path: Path, frames: Sequence[Frame]) -> list[Result]:
    """Predict structures with an ML-IAP file as `pair_style mliap unified` does.

    Args:
        path: the file, which this process has just written.
        frames: the structures.
    """
    # This unpickles a file, but one that this process has just written itself.
    unified = torch.load(path, map_location="cpu", weights_only=False)
    return [_run_mliap(unified, frame) for frame in frames]


def _run_mliap(unified: Any, frame: Frame) -> Result:
    """Predict one structure with the loaded object."""
    columns = {atomic_numbers[symbol]: k for k, symbol in enumerate(unified.element_types)}
    elements = np.array([columns[int(z)] for z in frame.numbers])
    data = MliapData(make_graph(frame, 2.0 * unified.rcutfac), elements)
    with torch.enable_grad():
        unified.compute_forces(data)
    forces = np.zeros((data.nlocal, 3))
    np.add.at(forces, data.owner, data.forces)
    return Result(
        energy=float(data.energy),
        energies=data.eatoms,
        forces=forces,
        stress=-data.virial / frame.atoms.get_volume() if frame.is_periodic else None,
    )


RUNS: dict[str, Callable[[Path, Sequence[Frame]], list[Result]]] = {
    "mliap": run_mliap,
    "torchscript": run_torchscript,
}
#: The pair style of LAMMPS that reads each format.
READERS = {"mliap": "pair_style mliap unified", "torchscript": "pair_style mace"}


def check(single: Foundation, name: str, path: Path) -> None:
    """Compare a file with the foundation it was made from.

    Args:
        single: model with one head on the CPU.
        name: format of the file, a key of `RUNS`.
        path: the file.

    Raises:
        PestleError: the file does not run, or gives other energies, forces or stress.
    """
    frames = samples(single.elements, single.cutoff)
    try:
        with default_dtype(torch.float32):
            results = RUNS[name](path, frames)
    except Exception as error:  # a compiled program may raise any error
        reason = str(error).strip().splitlines() or [repr(error)]
        raise _failure(name, f"does not run ({reason[-1]})") from error
    tolerance = TOLERANCES[single.dtype]
    for frame, found in zip(frames, results, strict=True):
        wanted = expected(single, frame)
        total = abs(found.energy - wanted.energy) / max(1.0, float(np.abs(wanted.energies).sum()))
        differences = {"total energy": total} | {
            quantity: deviation(getattr(wanted, quantity), getattr(found, quantity))
            for quantity in ("energies", "forces", "stress")
        }
        for quantity, difference in differences.items():
            if not difference <= tolerance:  # NaN included
                raise _failure(
                    name,
                    f"gives another {quantity} than the model on a {frame.source} "
                    f"(relative difference {difference:.1g}, allowed {tolerance:.0e})",
                )


def deviation(wanted: np.ndarray | None, found: np.ndarray | None) -> float:
    """Return the largest difference between two arrays, in relative terms.

    It is relative to the largest wanted value or, if that is smaller, to 1.

    Args:
        wanted: array of the foundation; `None` if it has no such quantity.
        found: array of the file, of the same shape; `None` if it has no such quantity.

    Returns:
        The difference; infinity if only one of the arrays exists.
    """
    if wanted is None or found is None:
        return 0.0 if wanted is found else float("inf")
    return float(np.abs(wanted - found).max() / max(1.0, float(np.abs(wanted).max())))


def _failure(name: str, what: str) -> PestleError:
    """Make the error for a file of this format."""
    others = [other for other in RUNS if other != name]
    return PestleError(
        f"the file for {READERS[name]} that mace-torch makes of this model {what}; it was not kept",
        where="--to lammps",
        fix=f"Write the other alone (--to lammps-{others[0]}), or use the model through ASE "
        "(--to ase).",
    )
