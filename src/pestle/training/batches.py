"""Which frames share a batch: at most so many frames and so many edges, in a seeded order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pestle.structures.graphs import GraphBatch, collate


@dataclass(frozen=True)
class BatchPlan:
    """Batches of an epoch.

    Attributes:
        graphs: the training graphs; one may stand in it several times (repeated isolated atoms).
        batch_size: frames in a batch at most.
        max_edges: edges in a batch at most; a graph larger than that makes a batch of its own.
        seed: of the order.
    """

    graphs: Sequence[GraphBatch]
    batch_size: int
    max_edges: int | None
    seed: int

    @cached_property
    def edges(self) -> list[int]:
        """Edges of each graph, which is made once for them."""
        return [graph.n_edges for graph in self.graphs]

    def indices(self, epoch: int) -> list[list[int]]:
        """Members of each batch of an epoch. The order depends on the seed and the epoch alone, so
        that a resumed run meets the batches that the uninterrupted one does."""
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
        """The batches of an epoch from the `start`-th on."""
        for members in self.indices(epoch)[start:]:
            yield collate([self.graphs[k] for k in members])

    def steps(self, epoch: int = 1) -> int:
        """Batches in an epoch."""
        return len(self.indices(epoch))
