"""The replay stream: the replay structures that are added to each update.

The stream is an endless sequence of seeded permutations. A position describes its state completely,
so that a resumed run continues with the same structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import overload

import numpy as np
import torch

from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, make_graph

#: Makes the permutations of the replay stream different from those of the target frames.
_STREAM = 1


class GraphsOnDemand(Sequence[GraphBatch]):
    """A sequence of graphs that are created when they are drawn.

    Creating one takes about a hundredth of the time of an update. Keeping the graphs of 10,000
    crystals takes gigabytes.

    Args:
        frames: the structures.
        cutoff: neighbour cutoff, Å.
        dtype: dtype of the network.
        head: index of the head that predicts them.
    """

    def __init__(
        self, frames: Sequence[Frame], cutoff: float, dtype: torch.dtype, head: int
    ) -> None:
        self.frames, self.cutoff, self.dtype, self.head = frames, cutoff, dtype, head

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, index: int) -> GraphBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[GraphBatch]: ...
    def __getitem__(self, index: int | slice) -> GraphBatch | list[GraphBatch]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        place = range(len(self))[index]
        graph = make_graph(self.frames[place], self.cutoff, index=place, dtype=self.dtype)
        return graph.with_head(self.head)


@dataclass
class ReplayData:
    """Labelled replay structures; their graphs have the index of the replay head.

    Attributes:
        train_frames, train_graphs: structures for training.
        valid_frames, valid_graphs: structures held out to evaluate the replay head.
    """

    train_frames: Sequence[Frame]
    train_graphs: Sequence[GraphBatch]
    valid_frames: Sequence[Frame]
    valid_graphs: Sequence[GraphBatch]


@lru_cache(maxsize=2)
def _lap_order(seed: int, lap: int, count: int) -> np.ndarray:
    """Return the order of the structures in one pass."""
    return np.random.default_rng([seed, _STREAM, lap]).permutation(count)


@dataclass(frozen=True)
class ReplayStream:
    """Draws replay structures.

    Attributes:
        graphs: the replay graphs.
        ratio: number of replay graphs per target graph.
        max_edges: largest number of edges in a draw, except that one graph is always drawn; `None`
            for no limit.
        seed: seed of the order.
        edge_ratio: largest number of edges in a draw per edge of the target graphs, except that one
            graph is always drawn; `None` for no limit.
    """

    graphs: Sequence[GraphBatch]
    ratio: float
    max_edges: int | None
    seed: int
    edge_ratio: float | None = None

    def member(self, position: int) -> int:
        """Return the index of the graph at a position of the stream."""
        lap, place = divmod(position, len(self.graphs))
        return int(_lap_order(self.seed, lap, len(self.graphs))[place])

    def draw(self, position: int, n_target: int, target_edges: int) -> tuple[list[GraphBatch], int]:
        """Draw the graphs that are added to a batch of target graphs.

        Args:
            position: position in the stream.
            n_target: number of target graphs in the batch.
            target_edges: number of edges in the batch.

        Returns:
            The graphs, and the position after them.
        """
        wanted = max(1, round(self.ratio * n_target))
        bounds = [] if self.max_edges is None else [float(self.max_edges)]
        if self.edge_ratio is not None:
            bounds.append(self.edge_ratio * target_edges)
        chosen: list[GraphBatch] = []
        edges = 0
        while len(chosen) < wanted:
            graph = self.graphs[self.member(position)]
            edges += graph.n_edges
            if chosen and any(edges > bound for bound in bounds):
                break
            chosen.append(graph)
            position += 1
        return chosen, position
