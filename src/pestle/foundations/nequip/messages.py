"""Messages between neighbours: the tensor product of features and harmonics, summed over edges.

Every path (l1, l2 → l3) couples the sender's block l1 with the harmonics of degree l2, channel by
channel ("uvu"), and weighs each channel by the radial network:

    m_i[u] = Σ_j w_ij[u] C(Y_l2(r_ij), x_j[u]).

The sum over neighbours comes first, as a matrix product for each atom; the Clebsch–Gordan
coefficients C act on its result, once for an atom and not for every edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from pestle.foundations.nequip.neighbourhoods import Neighbourhood, Neighbourhoods
from pestle.foundations.nequip.runtime import o3


@dataclass(frozen=True)
class Paths:
    """The paths of a layer, in the order of their weights: by l3, then l1, then l2.

    Attributes:
        inputs: channels of the features by l1.
        l3_max: highest degree that is put out.
        lmax: highest degree of the harmonics.
    """

    inputs: tuple[int, ...]
    l3_max: int
    lmax: int

    @cached_property
    def triples(self) -> tuple[tuple[int, int, int], ...]:
        """(l1, l2, l3) of every path."""
        return tuple(
            (l1, l2, l3)
            for l3 in range(self.l3_max + 1)
            for l1 in range(len(self.inputs))
            for l2 in range(self.lmax + 1)
            if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0
        )

    @property
    def sizes(self) -> list[int]:
        """Channels of every path."""
        return [self.inputs[l1] for l1, _, _ in self.triples]

    @property
    def n_weights(self) -> int:
        """Weights of an edge: the channels of all paths."""
        return sum(self.sizes)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the messages by l3."""
        return tuple(
            sum(self.inputs[l1] for l1, _, l3 in self.triples if l3 == degree)
            for degree in range(self.l3_max + 1)
        )


class Messages(torch.nn.Module):
    """Sum over neighbours of the weighted tensor products.

    Args:
        paths: of the layer.
        mean_neighbours: the sum is divided by its root.
    """

    def __init__(self, paths: Paths, mean_neighbours: float) -> None:
        super().__init__()
        self.paths = paths
        for k, (l1, l2, l3) in enumerate(paths.triples):
            # e3nn's normalisation "component"; [2·l3 + 1, (2·l2 + 1)(2·l1 + 1)].
            coupling = o3.wigner_3j(l2, l1, l3, dtype=torch.float64).permute(2, 0, 1).flatten(1)
            coupling = coupling * ((2 * l3 + 1) / mean_neighbours) ** 0.5
            self.register_buffer(f"coupling_{k}", coupling, persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Messages:
        names = [f"coupling_{k}" for k in range(len(self.paths.triples))]
        exact = {name: getattr(self, name) for name in names}
        super()._apply(fn, recurse)
        for name, kept in exact.items():  # moved, never cast: constants do not lose digits
            setattr(self, name, kept.to(getattr(self, name).device))
        return self

    def forward(
        self,
        features: Sequence[torch.Tensor],
        radial: Callable[[torch.Tensor], torch.Tensor],
        around: Neighbourhoods,
    ) -> list[torch.Tensor]:
        """Messages received by every atom, by l3, each [n_atoms, 2·l3 + 1, channels].

        Args:
            features: by l1, each [n_atoms, 2·l1 + 1, channels].
            radial: the weights [..., n_weights] of a radial basis [..., basis_size].
            around: neighbours of the atoms.
        """
        parts = [self._received(features, radial(group.basis), group) for group in around.groups]
        found = []
        for degree, channels in enumerate(self.paths.outputs):
            blocks = [part[degree] for part in parts]
            if around.n_alone or not blocks:
                blocks.append(features[0].new_zeros(around.n_alone, 2 * degree + 1, channels))
            found.append(torch.cat(blocks).index_select(0, around.place))
        return found

    def _received(
        self, features: Sequence[torch.Tensor], weights: torch.Tensor, group: Neighbourhood
    ) -> list[torch.Tensor]:
        """Messages of one group of atoms, by l3."""
        n_atoms, n_places = group.sender.shape
        sender = group.sender.reshape(-1)
        sent = [
            x.index_select(0, sender).view(n_atoms, n_places, x.shape[1], x.shape[2])
            for x in features
        ]
        found: list[list[torch.Tensor]] = [[] for _ in self.paths.outputs]
        by_path = weights.split(self.paths.sizes, dim=2)
        for k, ((l1, l2, l3), weight) in enumerate(zip(self.paths.triples, by_path, strict=True)):
            weighed = sent[l1] * weight[:, :, None, :]
            summed = group.harmonics[l2].transpose(1, 2) @ weighed.flatten(2)
            coupling = getattr(self, f"coupling_{k}").to(summed.dtype)
            # Written out for every atom: products with a stride of zero go through them one by one.
            coupling = coupling.expand(n_atoms, -1, -1).contiguous()
            summed = summed.view(n_atoms, coupling.shape[2], weight.shape[2])
            found[l3].append(torch.bmm(coupling, summed))
        return [torch.cat(blocks, dim=2) for blocks in found]
