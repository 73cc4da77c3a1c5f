"""The paths of a layer: what they couple, and where their weights and messages stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pestle.foundations.constants import Constant


@dataclass(frozen=True, eq=False)
class Path:
    """A path by the places of what it couples.

    Attributes:
        block: of the features.
        harmonics: first component of the block of the harmonics.
        output: number of the message's block; paths may share one, next to each other in channels.
        coupling: [d3, d2, d1] float64, components of output, harmonics and features.
    """

    block: int
    harmonics: int
    output: int
    coupling: torch.Tensor


class Paths:
    """All paths of a layer.

    Args:
        paths: in any order; `order` says in which they stand here.
        channels: of each block of the features.
        components: of each block of the features.
        n_harmonics: components of the harmonics.

    Attributes:
        order: numbers of the paths given, by block of the features. w has their columns in this
            order, block by block, and so have the messages their channels.
        outputs: for each block of the messages, in the order of their numbers: its number and the
            places of its paths in `order`.
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
        #: Places of the paths that start from each block of the features.
        self.of_block = [
            [k for k, p in enumerate(self.paths) if p.block == block]
            for block in range(len(self.channels))
        ]
        #: Columns of w for each block of the features, and of Q for each path.
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
        """Q of all paths, [n_edges, Σ d1 · d3], from the harmonics [n_edges, n_harmonics]."""
        return harmonics @ self._mixed.like(harmonics)

    @property
    def numbers_per_edge(self) -> int:
        """Numbers that are made of an edge: w x."""
        return sum(w * d for w, d in zip(self.weights, self.components, strict=True))
