"""Describe the paths of a layer: what they couple and where their weights are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pestle.foundations.constants import Constant


@dataclass(frozen=True, eq=False)
class Path:
    """A path couples one block of the features with one block of the harmonics.

    Attributes:
        block: index of the block of the features.
        harmonics: index of the first component of the block of the harmonics.
        output: index of the block of the message; paths with the same index are concatenated along
            the channels.
        coupling: [d3, d2, d1] float64, the coefficients C by the components of message, harmonics
            and features.
    """

    block: int
    harmonics: int
    output: int
    coupling: torch.Tensor


class Paths:
    """This class holds all paths of a layer in the order in which they are computed.

    Args:
        paths: the paths in any order; `order` gives their order here.
        channels: number of channels of each block of the features.
        components: number of components of each block of the features.
        n_harmonics: number of components of the spherical harmonics.

    Attributes:
        order: indices into the given paths, sorted by block of the features. The columns of the
            weights w and the channels of the messages are in this order.
        outputs: for each block of the messages its index and the positions of its paths in `order`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        channels: Sequence[int],
        components: Sequence[int],
        n_harmonics: int,
    ) -> None:
        self.order = sorted(range(len(paths)), key=lambda k: paths[k].block)
        self.paths = [paths[k] for k in self.order]
        self.channels, self.components = list(channels), list(components)
        self.dims = [p.coupling.shape[0] for p in self.paths]
        self.outputs = [
            (output, [k for k, p in enumerate(self.paths) if p.output == output])
            for output in sorted({p.output for p in self.paths})
        ]
        #: For each block of the features the positions of the paths that start from it.
        self.of_block = [
            [k for k, p in enumerate(self.paths) if p.block == block]
            for block in range(len(self.channels))
        ]
        #: Number of columns of w for each block of the features, and of Q for each path.
        self.weights = [len(own) * c for own, c in zip(self.of_block, self.channels, strict=True)]
        self.couplings = [p.coupling.shape[0] * p.coupling.shape[2] for p in self.paths]
        mixed = torch.zeros(n_harmonics, sum(self.couplings), dtype=torch.float64)
        start = 0
        for path, size in zip(self.paths, self.couplings, strict=True):
            first = path.harmonics
            flat = path.coupling.permute(1, 2, 0).flatten(1)
            mixed[first : first + len(flat), start : start + size] = flat
            start += size
        self._mixed = Constant(mixed)

    def coupled(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Return the couplings Q of all paths.

        Args:
            harmonics: [n_edges, n_harmonics] spherical harmonics Y of the edges.

        Returns:
            [n_edges, Σ d1 · d3], where the sum runs over the paths.
        """
        return harmonics @ self._mixed.like(harmonics)

    @property
    def numbers_per_edge(self) -> int:
        """Return how many numbers the product w x has for one edge."""
        return sum(w * d for w, d in zip(self.weights, self.components, strict=True))
