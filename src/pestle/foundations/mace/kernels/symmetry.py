"""Find which coefficients of a contraction are not zero.

Spherical harmonics are even or odd under the reflections of x, y and z, and a term must have the
same parities as its output. Therefore the pairs (o, k) of output and component and the monomials
fall into classes, usually 8, and a coefficient can be nonzero only within a class. The classes are
found from mace's couplings, and the coefficients are stored class by class.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix
from scipy.sparse.csgraph import connected_components

from pestle.foundations.constants import Constant
from pestle.foundations.mace.kernels.linear import product

#: Couplings smaller than this times the largest one are rounding errors and count as zero.
_NOTHING = 1e-10


def monomials(n: int) -> tuple[np.ndarray, np.ndarray]:
    """List the two factors of every monomial.

    The monomials are the products of two of n features and of 1, which counts as the feature with
    index n. The last monomial is 1 · 1.

    Args:
        n: number of features.

    Returns:
        Two arrays of indices from 0 to n, one for each factor.
    """
    first, second = np.triu_indices(n + 1)
    return first, second


class Table:
    """This table says which outputs, components and monomials of a contraction belong together.

    In each class the pairs (output, component) are the columns and the monomials are the rows. All
    classes are padded to the same size.

    Args:
        couplings: [n_weights, n_outputs, n_components, n_monomials] symmetric coefficients.
        n: number of components of the features.
        n_outputs: number of components of the output.

    Attributes:
        shape: number of classes, columns and rows.
    """

    def __init__(self, couplings: np.ndarray, n: int, n_outputs: int) -> None:
        self.n, self.n_outputs = n, n_outputs
        n_columns, n_monomials = n_outputs * n, couplings.shape[-1]
        flat = couplings.reshape(len(couplings), n_columns, n_monomials)
        size = np.abs(flat).max(axis=0, initial=0.0)
        there = size > _NOTHING * size.max(initial=0.0)
        columns, rows = _classes(there)
        width = max(1, *(len(c) for c in columns)) if columns else 1
        height = max(1, *(len(r) for r in rows)) if rows else 1
        used = sum(len(c) for c in columns)
        if used < n_columns and used == width * len(columns):
            width += 1  # one column of zeros, for the pairs that belong to no class
        shape = (max(1, len(columns)), width, height)
        self.shape = shape
        packed = np.zeros((len(flat), *shape))
        first, second = monomials(n)
        column = np.zeros(shape[:2], dtype=np.int64)
        place = np.full(n_columns, -1)
        left = np.full((shape[0], height), n)
        right = np.full((shape[0], height), n)
        for k, (c, r) in enumerate(zip(columns, rows, strict=True)):
            packed[:, k, : len(c), : len(r)] = np.where(
                there[np.ix_(c, r)], flat[:, c[:, None], r], 0.0
            )
            column[k, : len(c)], place[c] = c, k * width + np.arange(len(c))
            left[k, : len(r)], right[k, : len(r)] = first[r], second[r]
        empty = [k * width + width - 1 for k, c in enumerate(columns) if len(c) < width] or [0]
        place[place < 0] = empty[0]
        self._couplings = Constant(torch.from_numpy(packed.reshape(len(packed), -1)))
        degrees = 1.0 + (left < n) + (right < n)
        self._degrees = Constant(torch.from_numpy(degrees.reshape(-1, 1)))
        self._indices = [
            torch.from_numpy(np.ascontiguousarray(x.reshape(-1)))
            for x in (left, right, column, place)
        ]

    def coefficients(self, weights: torch.Tensor) -> torch.Tensor:
        """Compute the coefficients T of every element.

        Args:
            weights: [n_elements, channels, n_weights].

        Returns:
            [n_elements, channels, classes, columns, rows].
        """
        return product(weights, self._couplings.like(weights)).unflatten(2, self.shape)

    def indices(self, device: torch.device) -> list[torch.Tensor]:
        """Return the indices that connect the classes with features and outputs.

        Args:
            device: device of the indices.

        Returns:
            left and right [classes · rows], the factors of each monomial; column [classes ·
            columns], the pair (o, k) of each column; place [n_outputs · n], the column of each pair
            (o, k).
        """
        if self._indices[0].device != device:
            self._indices = [x.to(device) for x in self._indices]
        return self._indices

    def degrees(self, like: torch.Tensor) -> torch.Tensor:
        """Return the degree d of the term of each monomial, [classes · rows, 1].

        Args:
            like: tensor whose dtype and device the degrees get.
        """
        return self._degrees.like(like)


def _classes(there: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split a table of columns and monomials into its connected parts.

    No column of one part has a nonzero coefficient for a monomial of another.

    Args:
        there: [n_columns, n_monomials] bool, whether a coefficient can be nonzero.

    Returns:
        For each class its columns, and for each class its monomials.
    """
    n_columns = len(there)
    links = csr_matrix(there.astype(np.int8))
    _, label = connected_components(bmat([[None, links], [links.T, None]]), directed=False)
    columns, rows = [], []
    for k in np.unique(label[:n_columns][there.any(axis=1)]):
        columns.append(np.flatnonzero(label[:n_columns] == k))
        rows.append(np.flatnonzero(label[n_columns:] == k))
    return columns, rows
