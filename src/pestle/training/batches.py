"""Division of frames into batches with a limited number of frames and edges, in a seeded order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pestle.structures.graphs import GraphBatch, collate


@dataclass(frozen=True)
class BatchPlan:
    """The batches of an epoch.

    Attributes:
        graphs: the training graphs; repeated isolated atoms occur several times.
        batch_size: largest number of graphs in a batch.
        max_edges: largest number of edges in a batch; a larger graph is a batch of its own.
        seed: seed of the order.
    """

    graphs: Sequence[GraphBatch]
    batch_size: int
    max_edges: int | None
    seed: int

    @cached_property
    def edges(self) -> list[int]:
        """Number of edges of each graph. Each graph is created once to count them."""
        return [graph.n_edges for graph in self.graphs]

    def indices(self, epoch: int) -> list[list[int]]:
        """Return the indices of the graphs in each batch of an epoch.

        The order depends only on seed and epoch, so that a resumed run has the same batches as an
        uninterrupted one.

        Args:
            epoch: number of the epoch.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.graphs))
        batches: list[list[int]] = []
        edges = 0
        for k in order.tolist():
            size = 0 if self.max_edges is None else self.edges[k]
            full = not batches or len(batches[-1]) >= self.batch_size
            if full or (self.max_edges is not None and edges + size > self.max_edges):
                batches.append([])
                edges = 0
            batches[-1].append(k)
            edges += size
        return batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[GraphBatch]:
        """Yield the batches of an epoch.

        Args:
            epoch: number of the epoch.
            start: number of batches to skip.
        """
        for members in self.indices(epoch)[start:]:
            yield collate([self.graphs[k] for k in members])

    def steps(self, epoch: int = 1) -> int:
        """Return the number of batches in an epoch."""
        return len(self.indices(epoch))
