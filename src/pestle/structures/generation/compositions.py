"""Which elements the next structure holds, so that all elements and pairs are covered evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Species of successive structures of one kind. Pairs come most often: every interaction of two
#: elements is one of the things to keep, and a pair is the least that holds it.
SPECIES_CYCLE = (2, 1, 2, 3)


class Coverage:
    """How often elements and pairs occurred so far, in one kind of structure and in all of them.

    A pair of an element with itself stands for structures of that element alone.
    """

    def __init__(self, elements: Sequence[int], overall: Coverage | None = None) -> None:
        self.elements = np.array(elements)
        self.pairs = np.zeros((len(elements), len(elements)), dtype=int)
        self.structures = 0
        self.overall = self if overall is None else overall

    def _pick(self, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> int:
        """The pair (a position in both arrays) that occurred least, first in this kind."""
        overall = self.overall.pairs
        of_element = overall.sum(axis=0)
        keys = (
            rng.random(len(first)),
            of_element[first] + of_element[second],
            overall[first, second],
            self.pairs[first, second],
        )
        return int(np.lexsort(keys)[0])

    def pair(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two elements, maybe the same one twice."""
        first, second = np.triu_indices(len(self.elements))
        k = self._pick(first, second, rng)
        return int(self.elements[first[k]]), int(self.elements[second[k]])

    def species(self, rng: np.random.Generator) -> tuple[int, ...]:
        """One to three different elements."""
        sizes = [size for size in SPECIES_CYCLE if size <= len(self.elements)]
        size = sizes[self.structures % len(sizes)]
        everything = np.arange(len(self.elements))
        if size == 1:
            chosen = [self._pick(everything, everything, rng)]
        else:
            first, second = np.triu_indices(len(self.elements), k=1)
            k = self._pick(first, second, rng)
            chosen = [int(first[k]), int(second[k])]
        if size == 3:
            others = np.setdiff1d(everything, chosen)
            k = self._pick(others, np.full(len(others), chosen[int(rng.integers(2))]), rng)
            chosen.append(int(others[k]))
        return tuple(int(self.elements[k]) for k in chosen)

    def add(self, numbers: np.ndarray) -> None:
        """Count a structure."""
        present = np.flatnonzero(np.isin(self.elements, numbers))
        for coverage in {id(c): c for c in (self, self.overall)}.values():
            if len(present) == 1:
                coverage.pairs[present[0], present[0]] += 1
            else:
                grid = np.ix_(present, present)
                coverage.pairs[grid] += 1 - np.eye(len(present), dtype=int)
            coverage.structures += 1
