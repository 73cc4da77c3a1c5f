"""Define the paths of a NequIP layer and compute its messages.

Each path (l1, l2 → l3) couples the sender's block l1 with the harmonics of degree l2 and gives a
block of degree l3. It does so channel by channel (e3nn calls this "uvu") and multiplies each
channel by a weight from the radial network.
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
    """This class lists the paths of a layer in the order of their weights: by l3, then l1, then l2.

    Attributes:
        inputs: number of channels of the features for each l1.
        l3_max: highest degree of the messages.
        lmax: highest degree of the spherical harmonics.
    """

    inputs: tuple[int, ...]
    l3_max: int
    lmax: int

    @cached_property
    def triples(self) -> tuple[tuple[int, int, int], ...]:
        """Return (l1, l2, l3) of every path.

        A path exists where the triangle rule holds and l1 + l2 + l3 is even, because the parity of
        degree l is (-1)^l.
        """
        return tuple(
            (l1, l2, l3)
            for l3 in range(self.l3_max + 1)
            for l1 in range(len(self.inputs))
            for l2 in range(self.lmax + 1)
            if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0
        )

    @property
    def sizes(self) -> list[int]:
        """Return the number of channels of every path."""
        return [self.inputs[l1] for l1, _, _ in self.triples]

    @property
    def n_weights(self) -> int:
        """Return the number of weights of one edge, which is the sum of all paths' channels."""
        return sum(self.sizes)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Return the number of channels of the messages for each l3."""
        return tuple(
            sum(self.inputs[l1] for l1, _, l3 in self.triples if l3 == degree)
            for degree in range(self.l3_max + 1)
        )


class Messages:
    """This function sums weighted tensor products over the neighbours of every atom.

    Args:
        paths: the paths of the layer.
        mean_neighbours: mean number of neighbours of an atom; the sum is divided by its square
            root.
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
        """Compute the messages that every atom receives.

        Args:
            features: for each l1 a tensor [n_atoms, 2·l1 + 1, channels].
            harmonics: [n_edges, (lmax + 1)²] spherical harmonics.
            weights: for each l1 the weights from the radial network, [n_edges, n_paths · channels],
                with the columns in the order of `by_block`.
            around: the neighbours of the atoms.

        Returns:
            For each l3 a tensor [n_atoms, 2·l3 + 1, channels].
        """
        couplings = self.coupled.coupled(harmonics)
        return list(messages.message_sums(self.coupled, around, couplings, weights, features))

    def by_block(self, last: torch.Tensor) -> list[torch.Tensor]:
        """Sort the columns of the radial network's last layer by l1.

        Args:
            last: [width, n_weights] weight of the last layer, with the columns in the order of
                `Paths`.

        Returns:
            For each l1 the columns of the paths that start from it, [width, n_paths · channels].
        """
        parts = last.split(self._sizes, dim=1)
        return [
            torch.cat([parts[self.coupled.order[k]] for k in own], dim=1)
            for own in self.coupled.of_block
        ]
