"""The replay stream: which replay structures join each update.

The stream is an endless chain of seeded permutations, and a position in it says all: a resumed run
that starts at the same position meets the same structures.
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

#: Sets the permutations of the replay stream apart from those of the target stream.
_STREAM = 1


class GraphsOnDemand(Sequence[GraphBatch]):
    """Graphs that are made when they are drawn.

    Making one takes about a hundredth of an update; keeping those of 10,000 crystals takes
    gigabytes.

    Args:
        frames: the structures.
        cutoff: Å.
        dtype: of the network.
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
    """Replay structures, labelled; graphs carry the index of the replay head.

    Attributes:
        train_frames, train_graphs: replayed in training.
        valid_frames, valid_graphs: held out to watch the replay head.
    """

    train_frames: Sequence[Frame]
    train_graphs: Sequence[GraphBatch]
    valid_frames: Sequence[Frame]
    valid_graphs: Sequence[GraphBatch]


@lru_cache(maxsize=2)
def _lap_order(seed: int, lap: int, count: int) -> np.ndarray:
    """Order of the structures in one lap."""
    return np.random.default_rng([seed, _STREAM, lap]).permutation(count)


@dataclass(frozen=True)
class ReplayStream:
    """Draws replay structures.

    Attributes:
        graphs: the replay graphs.
        ratio: replay graphs per target graph.
        max_edges: edges in a draw at most (one graph at least); `None` for no bound.
        seed: of the order.
        edge_ratio: edges in a draw at most, per edge of the target graphs (one graph at least);
            `None` for no bound.
    """

    graphs: Sequence[GraphBatch]
    ratio: float
    max_edges: int | None
    seed: int
    edge_ratio: float | None = None

    def member(self, position: int) -> int:
        """Index of the graph at a position of the chain."""
        lap, place = divmod(position, len(self.graphs))
        return int(_lap_order(self.seed, lap, len(self.graphs))[place])

    def draw(self, position: int, n_target: int, target_edges: int) -> tuple[list[GraphBatch], int]:
        """The graphs that join a batch of target graphs, and the position after them."""
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
