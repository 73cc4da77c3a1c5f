"""Selection of structures: at random, by farthest points, or evenly over the elements.

Every selection is repeatable, and a selection of fewer structures is part of a selection of more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pestle.adaptation.replay.composition import ElementSet, element_set
from pestle.adaptation.replay.descriptors import ElementAverages, element_averages
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.progress import progress
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph

SELECTIONS = {
    "random": "at random",
    "fps": "by farthest points in the foundation's descriptors",
    "fps-per-edge": "by farthest points for each edge of their graphs",
    "element-balanced": "evenly over the elements",
    "all": "all of them",
}

#: Selections that need the foundation's descriptors.
FARTHEST = ("fps", "fps-per-edge")


@dataclass(frozen=True)
class Selector:
    """A way of selection with the input that it needs.

    Attributes:
        name: key of `SELECTIONS`.
        foundation, head, max_edges: for the descriptors of `fps` and `fps-per-edge`.
        seed: seed of random choices; farthest points have none.

    Raises:
        PestleError: farthest points without a foundation.
    """

    name: str
    foundation: Foundation | None
    head: str | None
    seed: int
    max_edges: int | None

    def __post_init__(self) -> None:
        if self.name in FARTHEST and self.foundation is None:
            raise PestleError(
                f"{self.name} needs a foundation for its descriptors",
                where="replay.select",
                fix="Give --foundation, or choose random or element-balanced.",
            )

    @property
    def ranks(self) -> bool:
        """Whether the selection prefers some structures to others."""
        return self.name in (*FARTHEST, "element-balanced")

    def choose(self, frames: Sequence[Frame], count: int) -> list[Frame]:
        """Select structures.

        Args:
            frames: the structures.
            count: number to select; all are returned if there are no more.
        """
        if self.name == "all" or count >= len(frames):
            return list(frames)
        if count <= 0:
            return []
        if self.name == "random":
            return [frames[k] for k in at_random(len(frames), count, self.seed)]
        if self.name == "element-balanced":
            sets = [element_set(frame) for frame in frames]
            return [frames[k] for k in element_balanced(sets, count, self.seed)]
        assert self.foundation is not None
        with progress("descriptors of the pool", len(frames)) as bar:
            averages = element_averages(
                self.foundation,
                frames,
                head=self.head,
                max_edges=self.max_edges,
                on_progress=bar.to,
            )
        costs = None
        if self.name == "fps-per-edge":
            cutoff = self.foundation.cutoff
            costs = np.array([make_graph(f, cutoff, index=0).n_edges for f in frames], float)
        return [frames[k] for k in farthest_points(averages, count, costs)]

    def line(self, available: int, selected: int) -> str:
        """Return the selection as text.

        Args:
            available: number of structures before the selection.
            selected: number of selected structures.
        """
        seed = f", seed {self.seed}" if self.name in ("random", "element-balanced") else ""
        return f"select {self.name}: {selected} of {available}, {SELECTIONS[self.name]}{seed}"


def at_random(n: int, count: int, seed: int) -> list[int]:
    """Select `count` of `n` indices with a seed; they are returned in ascending order."""
    return sorted(np.random.default_rng(seed).permutation(n)[:count].tolist())


def farthest_points(
    averages: ElementAverages, count: int, costs: np.ndarray | None = None
) -> list[int]:
    """Select structures by farthest-point sampling.

    Each next structure is the one with the largest distance to all selected ones or, with costs,
    with the largest ratio of distance to cost. The first one is the nearest to the mean of all. Of
    equal ones the first is selected. The time is O(n · count), with a running minimum of the
    distances.

    Args:
        averages: descriptors of the structures.
        count: number of structures to select, at most as many as there are.
        costs: [n] cost of an update on each structure, in any unit; values below 1 count as 1.
            Distances are divided by them, so that a large cell must bring more than a small one.

    Returns:
        Indices in the order of selection.
    """
    # The distances below are squared.
    per_cost = 1.0 if costs is None else np.maximum(costs, 1.0) ** -2
    squared = averages.squared_norms()
    chosen: list[int] = []
    nearest = np.full(averages.n, np.inf)
    following = int(np.argmin(squared - 2 * averages.products_with_mean()))
    while len(chosen) < count:
        chosen.append(following)
        distance = squared + squared[following] - 2 * averages.products_with(following)
        np.minimum(nearest, distance, out=nearest)
        nearest[following] = -np.inf  # lower than that of its copies, whose distance is zero
        following = int(np.argmax(nearest * per_cost))
    return chosen


def element_balanced(elements: Sequence[ElementSet], count: int, seed: int) -> list[int]:
    """Select structures so that every element occurs in about as many of them.

    Each step takes the element that occurs in the fewest selected structures, of those for which a
    structure is left. Of the structures with it, the one is selected whose elements are on average
    rarest among the selected ones. Equal elements are decided for the lighter one, equal structures
    by a seeded order.

    Args:
        elements: elements of each structure.
        count: number of structures to select, at most as many as there are.
        seed: seed of that order.

    Returns:
        Indices in the order of selection.
    """
    order = np.random.default_rng(seed).permutation(len(elements)).tolist()
    # The first minimum in this seeded order decides between equal structures.
    shuffled = [elements[k] for k in order]
    kinds = sorted(set().union(*shuffled))
    holders = {z: np.array([k for k, e in enumerate(shuffled) if z in e]) for z in kinds}
    size = np.array([len(e) for e in shuffled], dtype=float)
    held = dict.fromkeys(kinds, 0)  # chosen structures with the element
    left = {z: len(holders[z]) for z in kinds}  # structures with it that are not chosen yet
    load = np.zeros(len(shuffled))  # sum of `held` over the elements of each structure
    free = np.ones(len(shuffled), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < count:
        rarest = min((z for z in kinds if left[z]), key=lambda z: (held[z], z))
        candidates = holders[rarest][free[holders[rarest]]]
        best = int(candidates[np.argmin(load[candidates] / size[candidates])])
        free[best] = False
        chosen.append(order[best])
        for z in shuffled[best]:
            held[z] += 1
            left[z] -= 1
            load[holders[z]] += 1
    return chosen
