"""Compute mace's symmetric contraction (arXiv:2206.07697, Eq. 10 and 11) as matrix products.

The contraction evaluates polynomials of degree 1 to 3 of an atom's features, whose coefficients
depend on element and channel. The coefficients come from mace's couplings, made symmetric in the
components, and mace's weights. They are computed once per element of the batch, not for each atom.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch

from pestle.foundations.mace.kernels.by_element import Elements
from pestle.foundations.mace.kernels.linear import Blocks
from pestle.foundations.mace.kernels.polynomial import polynomial
from pestle.foundations.mace.kernels.symmetry import Table, monomials
from pestle.foundations.mace.runtime import Network

#: Highest order of the polynomials that are covered.
MAX_CORRELATION = 3


class Contraction:
    """This class runs a `SymmetricContraction` of mace.

    Args:
        module: mace's module; its weights are read at every call.
    """

    def __init__(self, module: Network) -> None:
        self.module = module
        parts = module.contractions
        self.n_components = sum(ir.dim for _, ir in module.irreps_in)
        self.sizes = [2 * ir.l + 1 for _, ir in module.irreps_out]
        self.n_outputs = sum(self.sizes)
        self.correlation = int(parts[0].correlation)
        self.table = Table(self._couplings(), self.n_components, self.n_outputs)

    def _couplings(self) -> np.ndarray:
        """Return the symmetric couplings, [n_weights, n_outputs, n_components, n_monomials].

        The weights are in the order of `_weights`.
        """
        first, second = monomials(self.n_components)
        n = self.n_components
        n_monomials = len(first)
        found, start = [], 0
        for part, size in zip(self.module.contractions, self.sizes, strict=True):
            for order in range(self.correlation, 0, -1):
                u = part.U_tensors(order).detach().double().cpu().numpy()
                u = u.reshape(size, *[n] * order, u.shape[-1])
                axes = [(0, *[1 + a for a in p], order + 1) for p in permutations(range(order))]
                u = np.mean([u.transpose(a) for a in axes], axis=0)
                # 1 counts as the last feature, so that every monomial is a product of two features.
                rest = np.zeros((u.shape[-1], self.n_outputs, n, n_monomials))
                own = slice(start, start + size)
                if order == 3:
                    real = second < n
                    value = u[:, :, first[real], second[real]]
                    value = value * np.where(first[real] == second[real], 1, 2)[:, None]
                    rest[:, own, :, real] = np.moveaxis(value, -1, 0)
                elif order == 2:
                    real = (first < n) & (second == n)
                    rest[:, own, :, real] = np.moveaxis(u, -1, 0)
                else:
                    rest[:, own, :, -1] = np.moveaxis(u, -1, 0)
                found.append(rest)
            start += size
        return np.concatenate(found)

    def _weights(self, which: Elements) -> torch.Tensor:
        """Return the weights of the elements in the batch, [n_elements, channels, n_weights]."""
        parts = [
            weight
            for part in self.module.contractions
            for weight in (part.weights_max, *part.weights)
        ]
        if len(parts[0]) == 1:  # all elements have the same weights
            chosen = [w.expand(len(which.counts), -1, -1) for w in parts]
        else:
            chosen = [w.index_select(0, which.present) for w in parts]
        return torch.cat(chosen, dim=1).transpose(1, 2)

    def __call__(self, features: torch.Tensor, which: Elements) -> Blocks:
        """Compute the contraction.

        Args:
            features: [n_atoms, components, channels].
            which: the elements of the atoms.

        Returns:
            One tensor [n_atoms, 2l + 1, channels] per output block.
        """
        coefficients = self.table.coefficients(self._weights(which))
        x = features.index_select(0, which.order).permute(2, 1, 0).contiguous()
        found = polynomial(self.table, which.counts, x, coefficients)
        by_atom = found.permute(2, 1, 0).index_select(0, which.place)
        return list(by_atom.split(self.sizes, dim=1))
