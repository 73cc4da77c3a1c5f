"""Define the network of a NequIP-type model, which gives the energies of atoms.

The architecture is that of NequIP (arXiv:2101.03164) with the layer norm and the sizes of Nequix
(arXiv:2508.16067). The network only gives energies; the foundation differentiates them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pestle.foundations.messages.neighbourhoods import neighbourhoods
from pestle.foundations.nequip.layers import Layer, Linear
from pestle.foundations.nequip.runtime import o3
from pestle.foundations.nequip.shape import Shape


class Network(torch.nn.Module):
    """This network gives the interaction energies of atoms in eV, and their invariant features.

    Args:
        shape: the sizes.
        scale: eV, one number per head; an atom's energy is scale · readout + shift.
        shift: eV, one number per head.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, shape: Shape, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Linear([shape.species], [shape.species_channels])
        inputs: tuple[int, ...] = (shape.species,)
        layers = []
        for k in range(shape.layers):
            outputs = shape.channels if k < shape.layers - 1 else shape.channels[:1]
            layers.append(Layer(inputs, outputs, shape, embedded=k == 0))
            inputs = outputs
        self.layers = torch.nn.ModuleList(layers)
        self.readout = Linear(inputs, [shape.heads])
        self.register_buffer("scale", torch.tensor(list(scale), dtype=torch.float64))
        self.register_buffer("shift", torch.tensor(list(shift), dtype=torch.float64))

    @property
    def stack(self) -> list[Layer]:
        """Return the interaction layers in their order."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def features(
        self, columns: torch.Tensor, vectors: torch.Tensor, edge_index: torch.Tensor
    ) -> list[torch.Tensor]:
        """Compute the scalar features of every layer.

        Args:
            columns: [n_atoms] index of each atom's element in the model's list.
            vectors: [n_edges, 3] Å, from sender to receiver.
            edge_index: [2, n_edges] indices of senders and receivers.

        Returns:
            For each layer a tensor [n_atoms, channels].
        """
        shape = self.shape
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        harmonics = o3.spherical_harmonics(
            list(range(shape.lmax + 1)), vectors, normalize=True, normalization="component"
        )
        basis = bessel(lengths, shape.basis_size, shape.cutoff)
        basis = basis * smooth_cutoff(lengths / shape.cutoff, shape.cutoff_power)[:, None]
        species = torch.nn.functional.one_hot(columns, shape.species).to(vectors.dtype)
        numbers = max(layer.messages.coupled.numbers_per_edge for layer in self.stack)
        size = numbers * vectors.element_size()
        around = neighbourhoods(edge_index[0], edge_index[1], len(columns), size)
        features, sent = [species[:, None, :]], self.embedding([species[:, None, :]])
        found = []
        for layer in self.stack:
            features = layer(features, sent, basis, harmonics, around)
            sent = features
            found.append(features[0].squeeze(1))
        return found

    def forward(
        self,
        columns: torch.Tensor,
        vectors: torch.Tensor,
        edge_index: torch.Tensor,
        heads: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the interaction energy of every atom.

        Args:
            columns: as for `features`.
            vectors: as for `features`.
            edge_index: as for `features`.
            heads: [n_atoms] index of the head that predicts the atom.

        Returns:
            [n_atoms] eV.
        """
        scalars = self.features(columns, vectors, edge_index)[-1]
        by_head = self.readout([scalars[:, None, :]])[0].squeeze(1)
        energies = by_head.gather(1, heads[:, None]).squeeze(1)
        return energies * self.scale[heads].to(energies) + self.shift[heads].to(energies)


def bessel(lengths: torch.Tensor, size: int, cutoff: float) -> torch.Tensor:
    """Compute the Bessel basis 2/r_c · sin(kπr/r_c)/r for k = 1 … size (arXiv:2101.03164).

    Args:
        lengths: [n_edges] r in Å.
        size: number of functions.
        cutoff: r_c in Å.

    Returns:
        [n_edges, size] 1/Å².
    """
    k = torch.arange(1, size + 1, dtype=lengths.dtype, device=lengths.device) * (math.pi / cutoff)
    return 2.0 / cutoff * torch.sin(lengths[:, None] * k) / lengths[:, None]


def smooth_cutoff(x: torch.Tensor, p: float) -> torch.Tensor:
    """Compute the polynomial cutoff of arXiv:2003.03123, Eq. 8.

    It falls from 1 at x = 0 to 0 at x = 1, where its first two derivatives vanish too.

    Args:
        x: [n_edges] distance divided by the cutoff.
        p: power of the polynomial.
    """
    value = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * x.pow(p)
        + p * (p + 2.0) * x.pow(p + 1.0)
        - p * (p + 1.0) / 2.0 * x.pow(p + 2.0)
    )
    return torch.where(x < 1.0, value, torch.zeros_like(value))
