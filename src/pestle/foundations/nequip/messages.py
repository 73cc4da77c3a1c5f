"""The paths of a NequIP layer and its messages.

Every path (l1, l2 → l3) couples the sender's block l1 with the harmonics of degree l2, channel by
channel ("uvu"), and weighs each channel by the radial network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from pestle.foundations import messages
from pestle.foundations.messages.neighbourhoods import Neighbourhoods
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


class Messages:
    """Sum over neighbours of the weighted tensor products.

    Args:
        paths: of the layer.
        mean_neighbours: the sum is divided by its root.
    """

    def __init__(self, paths: Paths, mean_neighbours: float) -> None:
        self._sizes = paths.sizes
        self.coupled = messages.Paths(
            [
                # e3nn's normalisation "component".
                messages.Path(
                    l1,
                    l2 * l2,
                    l3,
                    o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 1, 0)
                    * ((2 * l3 + 1) / mean_neighbours) ** 0.5,
                )
                for l1, l2, l3 in paths.triples
            ],
            channels=paths.inputs,
            components=[2 * l1 + 1 for l1 in range(len(paths.inputs))],
            n_harmonics=(paths.lmax + 1) ** 2,
        )

    def __call__(
        self,
        features: Sequence[torch.Tensor],
        harmonics: torch.Tensor,
        weights: Sequence[torch.Tensor],
        around: Neighbourhoods,
    ) -> list[torch.Tensor]:
        """Messages received by every atom, by l3, each [n_atoms, 2·l3 + 1, channels].

        Args:
            features: by l1, each [n_atoms, 2·l1 + 1, channels].
            harmonics: [n_edges, (lmax + 1)²].
            weights: by l1, [n_edges, n_weights] of the radial network, columns as `by_block` has
                them.
            around: neighbours of the atoms.
        """
        couplings = self.coupled.coupled(harmonics)
        return list(messages.message_sums(self.coupled, around, couplings, weights, features))

    def by_block(self, last: torch.Tensor) -> list[torch.Tensor]:
        """Columns [n, n_weights] of the radial network's last layer for each l1."""
        parts = last.split(self._sizes, dim=1)
        return [
            torch.cat([parts[self.coupled.order[k]] for k in own], dim=1)
            for own in self.coupled.of_block
        ]
