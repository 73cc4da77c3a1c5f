"""Make a `Foundation` of a NequIP-type network: prediction, derived models, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pestle.errors import PestleError
from pestle.foundations import safe_files
from pestle.foundations.capabilities import (
    Adapters,
    Descriptors,
    ElementSelection,
    Heads,
    Kernels,
    LinearLayer,
    OwnFile,
    Parts,
    RandomWeights,
)
from pestle.foundations.interface import Provenance
from pestle.foundations.nequip import nqx, parts, surgery
from pestle.foundations.nequip.network import Network
from pestle.foundations.nequip.runtime import making
from pestle.foundations.nequip.shape import Shape
from pestle.foundations.network_foundation import NetworkFoundation, edge_vectors
from pestle.structures.graphs import GraphBatch


class NequipFoundation(
    NetworkFoundation,
    Adapters,
    Parts,
    Heads,
    ElementSelection,
    RandomWeights,
    Descriptors,
    OwnFile,
    Kernels,
):
    """This class makes a foundation of a NequIP-type network.

    Args:
        network: the network; it is used itself, not a copy.
        elements: atomic numbers in the network's order.
        heads: names of the heads in the network's order.
        e0s: [n_heads, n_elements] eV, float64.
        provenance: where the model comes from.

    Raises:
        PestleError: the network has another number of elements or heads.
    """

    backend = "nequip"
    own_format = ".nqx"
    own_calculator = ("nequix.calculator", "NequixCalculator", "model_path")
    own_dtype = torch.float32
    # An edge of the published models needs 80 kB of memory in float32 and twice that in float64.
    batch_edges = 25_000

    def __init__(
        self,
        network: Network,
        *,
        elements: Sequence[int],
        heads: Sequence[str],
        e0s: torch.Tensor,
        provenance: Provenance,
    ) -> None:
        if (network.shape.species, network.shape.heads) != (len(elements), len(heads)):
            raise PestleError(
                f"the network is for {network.shape.species} elements and {network.shape.heads} "
                f"heads, and {len(elements)} elements and {len(heads)} heads are named",
                where=provenance.name,
            )
        super().__init__(network, elements=elements, heads=heads, e0s=e0s, provenance=provenance)

    # -- what it covers -------------------------------------------------------------------------
    @property
    def cutoff(self) -> float:
        return self.network.shape.cutoff

    # -- what it predicts -----------------------------------------------------------------------
    def interaction(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
        *,
        training: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = edge_vectors(graphs, positions, cell)
        heads = graphs.head[graphs.batch]
        atoms = self.network(columns, vectors, graphs.edge_index, heads)
        return atoms.new_zeros(graphs.n_graphs).index_add(0, graphs.batch, atoms), atoms

    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        columns = self.columns(graphs)
        with torch.no_grad():
            vectors = edge_vectors(graphs, graphs.positions.to(self.dtype), graphs.cell)
            return torch.cat(self.network.features(columns, vectors, graphs.edge_index), dim=1)

    # -- its parts ------------------------------------------------------------------------------
    def parameter_groups(self) -> dict[str, list[str]]:
        return parts.parameter_groups(self.network, prefix="network.")

    def linear_layers(self) -> list[LinearLayer]:
        return parts.linear_layers(self.network, prefix="network.")

    # -- new models from it ---------------------------------------------------------------------
    def _with(
        self,
        network: Network,
        e0s: torch.Tensor,
        *,
        elements: Sequence[int] | None = None,
        heads: Sequence[str] | None = None,
    ) -> NequipFoundation:
        """Make a model of another network, with this model's provenance."""
        made = NequipFoundation(
            network,
            elements=self.elements if elements is None else elements,
            heads=self.heads if heads is None else heads,
            e0s=e0s.detach().clone(),
            provenance=self.provenance,
        )
        return made.to(self.device)

    def with_elements(self, elements: Sequence[int]) -> NequipFoundation:
        columns = self.columns_of(elements)
        return self._with(
            surgery.select_elements(self.network, columns),
            self.e0s[:, columns],
            elements=[self.elements[k] for k in columns],
        )

    def with_heads(self, heads: Mapping[str, str]) -> NequipFoundation:
        rows = self.rows_of(heads)
        network = surgery.select_heads(self.network, rows)
        return self._with(network, self.e0s[rows], heads=tuple(heads))

    def with_random_weights(
        self, seed: int, *, mean_neighbours: float, scale: float
    ) -> NequipFoundation:
        shape = replace(self.network.shape, mean_neighbours=float(mean_neighbours))
        n_heads = len(self.heads)
        with making(seed):
            network = Network(shape, [float(scale)] * n_heads, [0.0] * n_heads)
        return self._with(network.to(self.dtype), self.e0s)

    # -- files ----------------------------------------------------------------------------------
    def description(self) -> dict[str, Any]:
        return self.network.shape.to_json()

    @classmethod
    def build(cls, model: safe_files.SafeModel) -> Network:
        shape = Shape.from_json(model.architecture)
        shape.require_weights(sum(tensor.numel() for tensor in model.tensors.values()))
        with making():
            return Network(shape, [0.0] * shape.heads, [0.0] * shape.heads)

    def export(self, path: Path, *, head: str | None = None) -> None:
        obstacle = self.export_obstacle(head=head)
        if obstacle:
            raise PestleError(
                f"{self.provenance.name} cannot be written: {obstacle}", where=str(path)
            )
        row = self.head_index(head)
        network = surgery.select_heads(self.network, [row]) if len(self.heads) > 1 else self.network
        nqx.write(Path(path), network, self.elements, self.e0s[row].tolist())

    def export_obstacle(self, *, head: str | None = None) -> str:
        shape = self.network.shape
        if shape.species != shape.species_channels:
            return (
                f"the model was cut down to {shape.species} of its {shape.species_channels} "
                f"elements, and {self.own_format} files hold them all"
            )
        if head is None and len(self.heads) > 1:
            return f"{self.own_format} files hold one head"
        if self.needs_double:
            return (
                f"{self.own_format} files are read in float32, too coarse for reference energies "
                "like these"
            )
        return ""


def from_nqx(path: Path, *, provenance: Provenance) -> NequipFoundation:
    """Load the foundation in a published `.nqx` file, in float32.

    Args:
        path: the file.
        provenance: where the model comes from.

    Raises:
        PestleError: the file cannot be read, or holds another kind of network.
    """
    network, elements, e0s = nqx.read(path)
    return NequipFoundation(
        network,
        elements=elements,
        heads=("Default",),
        e0s=torch.tensor([e0s], dtype=torch.float64),
        provenance=provenance,
    )
