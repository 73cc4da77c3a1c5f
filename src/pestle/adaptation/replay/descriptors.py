"""What a foundation sees in a structure: its invariant descriptors, averaged element by element.

One average over all atoms would hide a dopant among a hundred host atoms; an average for each
element keeps it, as mace's own farthest-point selection does. An element that a structure lacks
counts as zeros here. mace writes 1e11 there, in single precision, which leaves nothing of the
environments: structures with different elements are then as far apart as they have elements that
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.foundations.capabilities import Descriptors, require
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import batches_by_edges
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph


@dataclass(frozen=True)
class ElementAverages:
    """Averages of n structures, without the zeros: one row for each element in each structure.

    Attributes:
        n: number of structures.
        structure: [m] structure of each row, ascending within an element.
        element: [m] atomic number of each row, ascending.
        vectors: [m, d] mean descriptor of the atoms of that element in that structure.
    """

    n: int
    structure: np.ndarray
    element: np.ndarray
    vectors: np.ndarray

    def squared_norms(self) -> np.ndarray:
        """[n] |x|² of the structures."""
        return np.bincount(self.structure, (self.vectors**2).sum(axis=1), minlength=self.n)

    def products_with(self, k: int) -> np.ndarray:
        """[n] scalar product of each structure with structure k."""
        rows = np.flatnonzero(self.structure == k)
        return self._products(self.element[rows], self.vectors[rows])

    def products_with_mean(self) -> np.ndarray:
        """[n] scalar product of each structure with the mean of all."""
        elements = np.unique(self.element)
        sums = [self.vectors[self._rows(z)].sum(axis=0) / self.n for z in elements]
        return self._products(elements, np.array(sums))

    def _products(self, elements: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        products = np.zeros(self.n)
        for z, vector in zip(elements, vectors, strict=True):
            rows = self._rows(z)
            products[self.structure[rows]] += self.vectors[rows] @ vector
        return products

    def _rows(self, z: int) -> slice:
        return slice(*np.searchsorted(self.element, [z, z + 1]))


def element_averages(
    foundation: Foundation,
    frames: Sequence[Frame],
    *,
    head: str | None = None,
    max_edges: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ElementAverages:
    """Descriptors of frames by the foundation, averaged over the atoms of each element.

    Args:
        foundation: the model, on its own device and in its own dtype.
        frames: structures.
        head: head whose descriptors are taken, for models in which heads differ in them.
        max_edges: edges per batch; by default the model's `edges_at_once`.
        on_progress: called with the number of frames done after each batch.

    Raises:
        PestleError: the foundation gives no descriptors.
    """
    model, index = require(foundation, Descriptors), foundation.head_index(head)
    graphs = (
        make_graph(frame, foundation.cutoff, index=k, dtype=foundation.dtype)
        for k, frame in enumerate(frames)
    )
    structures, elements, vectors, done = [], [], [], 0
    for batch in batches_by_edges(graphs, max_edges or foundation.edges_at_once):
        moved = batch.to(foundation.device, foundation.dtype).with_head(index)
        atoms = model.descriptors(moved).detach().double().cpu().numpy()
        frame, z = batch.frame[batch.batch].numpy(), batch.numbers.numpy()
        keys, row, count = np.unique(
            np.stack([frame, z]), axis=1, return_inverse=True, return_counts=True
        )
        sums = np.zeros((keys.shape[1], atoms.shape[1]))
        np.add.at(sums, row.ravel(), atoms)
        structures.append(keys[0])
        elements.append(keys[1])
        vectors.append(sums / count[:, None])
        done += batch.n_graphs
        if on_progress is not None:
            on_progress(done)
    structure, element = np.concatenate(structures), np.concatenate(elements)
    order = np.lexsort((structure, element))
    return ElementAverages(
        len(frames), structure[order], element[order], np.concatenate(vectors)[order]
    )
