"""The foundation's invariant descriptors of structures, averaged over the atoms of each element.

An average over all atoms would hide a dopant among a hundred host atoms; an average for each
element keeps it, as in mace's own farthest-point selection. For an element that a structure does
not contain, the values are zero here. mace uses 1e11 in single precision, which hides all
differences of environments, so that the distance of structures depends only on the number of
elements that differ.
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
    """Averages of n structures, without the zeros: one row per element and structure.

    Attributes:
        n: number of structures.
        structure: [m] structure of each row, ascending for each element.
        element: [m] atomic number of each row, ascending.
        vectors: [m, d] mean descriptor of the atoms of this element in this structure.
    """

    n: int
    structure: np.ndarray
    element: np.ndarray
    vectors: np.ndarray

    def squared_norms(self) -> np.ndarray:
        """Return |x|² of each structure, [n]."""
        return np.bincount(self.structure, (self.vectors**2).sum(axis=1), minlength=self.n)

    def products_with(self, k: int) -> np.ndarray:
        """Return the scalar product of each structure with structure k, [n]."""
        rows = np.flatnonzero(self.structure == k)
        return self._products(self.element[rows], self.vectors[rows])

    def products_with_mean(self) -> np.ndarray:
        """Return the scalar product of each structure with the mean of all structures, [n]."""
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
    """Calculate the foundation's descriptors of frames, averaged over the atoms of each element.

    Args:
        foundation: the model, on its own device and in its own dtype.
        frames: the structures.
        head: the head, for models whose descriptors depend on it.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
        on_progress: called with the number of completed frames after each batch.

    Returns:
        The averages.

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
