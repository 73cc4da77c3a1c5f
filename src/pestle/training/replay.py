"""The replay stream: which replay structures join each update.

The stream is an endless chain of seeded permutations, and a position in it says all: a resumed run
that starts at the same position meets the same structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate

#: Sets the permutations of the replay stream apart from those of the target stream.
_STREAM = 1


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
    """Draws replay batches.

    Attributes:
        graphs: the replay graphs.
        ratio: replay graphs per target graph.
        max_edges: edges in a draw at most (one graph at least); `None` for no bound.
        seed: of the order.
    """

    graphs: Sequence[GraphBatch]
    ratio: float
    max_edges: int | None
    seed: int

    def member(self, position: int) -> int:
        """Index of the graph at a position of the chain."""
        lap, place = divmod(position, len(self.graphs))
        return int(_lap_order(self.seed, lap, len(self.graphs))[place])

    def draw(self, position: int, n_target: int) -> tuple[GraphBatch, int]:
        """Replay batch for `n_target` target graphs, and the position after it."""
        wanted = max(1, round(self.ratio * n_target))
        chosen: list[GraphBatch] = []
        edges = 0
        while len(chosen) < wanted:
            graph = self.graphs[self.member(position)]
            edges += graph.n_edges
            if chosen and self.max_edges is not None and edges > self.max_edges:
                break
            chosen.append(graph)
            position += 1
        return collate(chosen), position
