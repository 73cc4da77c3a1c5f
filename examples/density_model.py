"""A new architecture in one file: a small many-body potential in plain PyTorch.

Every neighbour adds to a density around an atom, resolved by distance and weighted by its element;
a network turns the density into the atom's energy. An atom alone has no density and no energy
beside its E0. docs/backends.md says what each piece is for.

    python examples/density_model.py FOLDER     # writes an untrained model and checks it
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pestle.foundations.backends import Backend, register
from pestle.foundations.interface import Provenance
from pestle.foundations.network_foundation import NetworkFoundation, edge_vectors
from pestle.foundations.safe_files import SafeModel
from pestle.structures.graphs import GraphBatch


class DensityNetwork(torch.nn.Module):
    """Energies of atoms from the distances of their neighbours.

    Args:
        n_elements: number of elements.
        cutoff: Å.
        shells: distances at which the density is resolved.
        width: of the network.
        seed: of the random weights.
    """

    def __init__(
        self, n_elements: int, *, cutoff: float, shells: int, width: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.cutoff, self.shells, self.width = float(cutoff), int(shells), int(width)
        if not (0 < self.cutoff < 20 and 0 < self.shells <= 256 and 0 < self.width <= 1024):
            raise ValueError("sizes that no such network has")  # they come from a file
        generator = torch.Generator().manual_seed(seed)  # torch's own random state stays

        def weights(*shape: int) -> torch.nn.Parameter:
            drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return torch.nn.Parameter(drawn / shape[0] ** 0.5)

        self.neighbour, self.centre = weights(n_elements, shells), weights(n_elements, shells)
        self.first, self.last = weights(shells, width), weights(width, 1)
        places = torch.linspace(0.5, self.cutoff, shells, dtype=torch.float64)
        self.register_buffer("places", places)

    def forward(
        self, columns: torch.Tensor, distances: torch.Tensor, edges: torch.Tensor
    ) -> torch.Tensor:
        """Energies [n_atoms] in eV.

        Args:
            columns: [n_atoms] position of each atom's element in the model.
            distances: [n_edges] Å.
            edges: [2, n_edges] sender and receiver.
        """
        sender, receiver = edges
        window = 0.25 * (1.0 + torch.cos(torch.pi * distances / self.cutoff)) ** 2
        shell = torch.exp(-2.0 * (distances[:, None] - self.places) ** 2) * window[:, None]
        density = shell.new_zeros(len(columns), self.shells)
        density = density.index_add(0, receiver, shell * self.neighbour[columns[sender]])
        hidden = torch.nn.functional.silu((density * self.centre[columns]) @ self.first)
        return (hidden @ self.last).squeeze(1)


class DensityFoundation(NetworkFoundation):
    """A `DensityNetwork` as Pestle knows models: what is not here, `NetworkFoundation` gives."""

    backend = "density"
    network: DensityNetwork

    @property
    def cutoff(self) -> float:
        return self.network.cutoff

    def interaction(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
        *,
        training: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        distances = edge_vectors(graphs, positions, cell).norm(dim=1)
        atoms = self.network(columns, distances, graphs.edge_index)
        return atoms.new_zeros(graphs.n_graphs).index_add(0, graphs.batch, atoms), atoms

    def description(self) -> dict[str, Any]:
        network = self.network
        return {"cutoff": network.cutoff, "shells": network.shells, "width": network.width}

    @classmethod
    def build(cls, model: SafeModel) -> DensityNetwork:
        return DensityNetwork(len(model.elements), **model.architecture)


BACKEND = Backend("density", from_safe=DensityFoundation.from_safe)


def untrained(elements: Sequence[int], *, seed: int = 0) -> DensityFoundation:
    """A model of these atomic numbers with random weights and E0s of zero, in float64."""
    return DensityFoundation(
        DensityNetwork(len(elements), cutoff=4.5, shells=8, width=16, seed=seed),
        elements=elements,
        heads=("Default",),
        e0s=torch.zeros(1, len(elements), dtype=torch.float64),
        provenance=Provenance("density", licence="MIT", level_of_theory="none: untrained"),
    )


if __name__ == "__main__":
    from pestle.testing import check_foundation

    register(BACKEND)
    model = untrained((1, 6, 8))
    model.save(Path(sys.argv[1]))
    for name in check_foundation(model):
        print(f"ok: {name}")
