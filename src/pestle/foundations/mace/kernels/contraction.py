"""mace's symmetric contraction (arXiv:2206.07697, Eq. 10 and 11) as products of small matrices.

The contraction takes polynomials of degree 1 to 3 of an atom's features x [components], with
coefficients that depend on element and channel. Written with coefficients that are symmetric in the
components,

    f_o(x) = Σ_k x_k Σ_r T[ok, r] M_r(x),

M_r being the monomials 1, x_i and x_i x_j. Symmetry gives the derivative by the same product:

    J_ok = ∂f_o/∂x_k = Σ_r T[ok, r] d_r M_r(x),   d_r = 1, 2, 3: the degree of the term,

and the derivative of J along v by M'(x; v) = x_i v_j + v_i x_j in the place of M. T is formed from
mace's couplings and weights once for an element of the batch, not for each atom.

Most of T vanishes: spherical harmonics are even or odd under the reflections of x, y and z, and a
term must be as its output. The pairs (o, k) and the monomials fall into classes that do not mix (8
as a rule), found here from mace's couplings, and T is kept class by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix
from scipy.sparse.csgraph import connected_components

from pestle.foundations.mace.kernels.linear import Blocks, Elements, product
from pestle.foundations.mace.runtime import Network
from pestle.foundations.messages import Constant, wanted
from pestle.foundations.neighbourhoods import group_bytes

#: Highest order of the polynomials that are covered.
MAX_CORRELATION = 3
#: Couplings below this share of the largest are rounding.
_NOTHING = 1e-10


class Contraction:
    """A `SymmetricContraction` of mace.

    Args:
        module: mace's; its weights are read at every call.
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
        """[n_weights, n_outputs, n_components, n_monomials] symmetric coefficients; weights in the
        order of `_weights`."""
        first, second = _pairs(self.n_components)
        n = self.n_components
        n_monomials = len(first)
        found, start = [], 0
        for part, size in zip(self.module.contractions, self.sizes, strict=True):
            for order in range(self.correlation, 0, -1):
                u = part.U_tensors(order).detach().double().cpu().numpy()
                u = u.reshape(size, *[n] * order, u.shape[-1])
                axes = [(0, *[1 + a for a in p], order + 1) for p in permutations(range(order))]
                u = np.mean([u.transpose(a) for a in axes], axis=0)
                # The features and 1 as their last component: every monomial is a product of two.
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
        """Weights of the elements that are there, [n_elements, channels, n_weights]."""
        parts = [
            weight
            for part in self.module.contractions
            for weight in (part.weights_max, *part.weights)
        ]
        if len(parts[0]) == 1:  # the same for all elements
            chosen = [w.expand(len(which.counts), -1, -1) for w in parts]
        else:
            chosen = [w.index_select(0, which.present) for w in parts]
        return torch.cat(chosen, dim=1).transpose(1, 2)

    def __call__(self, features: torch.Tensor, which: Elements) -> Blocks:
        """The contraction by block of the output, each [n_atoms, 2l + 1, channels].

        Args:
            features: [n_atoms, components, channels].
            which: elements of the atoms.
        """
        coefficients = self.table.coefficients(self._weights(which))
        x = features.index_select(0, which.order).permute(2, 1, 0).contiguous()
        found = _Polynomial.apply(self.table, which.counts, x, coefficients)
        by_atom = found.permute(2, 1, 0).index_select(0, which.place)
        return list(by_atom.split(self.sizes, dim=1))


def _pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of every monomial: the products of two of n features and 1, the n-th; 1 · 1 last."""
    first, second = np.triu_indices(n + 1)
    return first, second


class Table:
    """The classes of a contraction: which outputs, components and monomials go together.

    Args:
        couplings: [n_weights, n_outputs, n_components, n_monomials].
        n: components of the features.
        n_outputs: components of the output.
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
            width += 1  # a place of zeros, for the columns that belong nowhere
        shape = (max(1, len(columns)), width, height)
        self.shape = shape
        packed = np.zeros((len(flat), *shape))
        first, second = _pairs(n)
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
        """T of every element, [n_elements, channels, classes, columns, rows].

        Args:
            weights: [n_elements, channels, n_weights].
        """
        return product(weights, self._couplings.like(weights)).unflatten(2, self.shape)

    def indices(self, device: torch.device) -> list[torch.Tensor]:
        """left, right [classes · rows] factors of the monomials; column [classes · columns], the
        (o, k) of each column; place [n_outputs · n], where each (o, k) stands."""
        if self._indices[0].device != device:
            self._indices = [x.to(device) for x in self._indices]
        return self._indices

    def degrees(self, like: torch.Tensor) -> torch.Tensor:
        """[classes · rows, 1] degree of the term that a monomial belongs to."""
        return self._degrees.like(like)


def _classes(there: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns and rows of a table of what is there, by the connected parts of it."""
    n_columns = len(there)
    links = csr_matrix(there.astype(np.int8))
    _, label = connected_components(bmat([[None, links], [links.T, None]]), directed=False)
    columns, rows = [], []
    for k in np.unique(label[:n_columns][there.any(axis=1)]):
        columns.append(np.flatnonzero(label[:n_columns] == k))
        rows.append(np.flatnonzero(label[n_columns:] == k))
    return columns, rows


class _Work:
    """The products of a few channels: x [channels, components, n_atoms], T by element."""

    def __init__(
        self, table: Table, counts: Sequence[int], x: torch.Tensor, t: torch.Tensor
    ) -> None:
        self.table, self.counts, self.x, self.t = table, counts, x, t
        self.left, self.right, self.column, self.place = table.indices(x.device)
        self._with_one = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    def monomials(self) -> torch.Tensor:
        """M(x), [channels, classes · rows, n_atoms]."""
        x = self._with_one
        return x.index_select(1, self.left).mul_(x.index_select(1, self.right))

    def monomials_along(self, v: torch.Tensor) -> torch.Tensor:
        """M'(x; v)."""
        x, v = self._with_one, torch.cat([v, torch.zeros_like(v[:, :1])], dim=1)
        found = v.index_select(1, self.left).mul_(x.index_select(1, self.right))
        return found.addcmul_(x.index_select(1, self.left), v.index_select(1, self.right))

    def by_degree(self, monomials: torch.Tensor) -> torch.Tensor:
        """d M, in place."""
        return monomials.mul_(self.table.degrees(monomials))

    def times(self, monomials: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """T M, [channels, n_outputs, components, n_atoms]."""
        n_classes, n_columns, n_rows = self.table.shape
        channels, _, n_atoms = monomials.shape
        m = monomials.view(channels * n_classes, n_rows, n_atoms)
        t = t.flatten(1, 2)
        made = [
            torch.bmm(own, part)
            for own, part in zip(t.unbind(), m.split(list(self.counts), dim=2), strict=True)
        ]
        joined = made[0] if len(made) == 1 else torch.cat(made, dim=2)
        joined = joined.view(channels, n_classes * n_columns, n_atoms)
        found = joined.index_select(1, self.place)
        return found.view(channels, self.table.n_outputs, self.table.n, n_atoms)

    def outer(self, factors: torch.Tensor, monomials: torch.Tensor) -> torch.Tensor:
        """Gradient by T: Σ_atoms factors[o, k] M, [n_elements, channels, classes, …].

        Args:
            factors: [channels, n_outputs, components, n_atoms].
            monomials: [channels, classes · rows, n_atoms].
        """
        n_classes, n_columns, n_rows = self.table.shape
        channels, _, n_atoms = monomials.shape
        a = factors.flatten(1, 2).index_select(1, self.column)
        a = a.view(channels * n_classes, n_columns, n_atoms)
        m = monomials.view(channels * n_classes, n_rows, n_atoms).transpose(1, 2)
        sizes = list(self.counts)
        made = [
            torch.bmm(own, part)
            for own, part in zip(a.split(sizes, dim=2), m.split(sizes, dim=1), strict=True)
        ]
        return torch.stack(made).unflatten(1, (channels, n_classes))


def _slices(table: Table, x: torch.Tensor) -> list[slice]:
    """Channels that are worked on together: their products fit in the cache of a CPU."""
    n_classes, n_columns, n_rows = table.shape
    numbers = n_classes * (n_columns + n_rows) * max(1, x.shape[2])
    step = max(1, group_bytes(x.device) // (numbers * x.element_size()))
    return [slice(k, min(k + step, len(x))) for k in range(0, len(x), step)]


class _Polynomial(torch.autograd.Function):
    """f. Inputs: table, atoms by element, x [channels, components, n_atoms], T."""

    @staticmethod
    def forward(
        ctx: Any, table: Table, counts: tuple[int, ...], x: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        ctx.table, ctx.counts = table, counts
        ctx.save_for_backward(x, t)
        found = x.new_empty(len(x), table.n_outputs, x.shape[2])
        for c in _slices(table, x):
            work = _Work(table, counts, x[c], t[:, c])
            h = work.times(work.monomials(), work.t)
            torch.sum(h.mul_(work.x[:, None]), dim=2, out=found[c])
        return found

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        parts = wanted(ctx)
        return (
            None,
            None,
            *_PolynomialGradients.apply(ctx.table, ctx.counts, parts, g, *ctx.saved_tensors),
        )


class _PolynomialGradients(torch.autograd.Function):
    """Gradients of Σ g f by x and T. Inputs: table, atoms by element, parts wanted, g, x, T."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Table,
        counts: tuple[int, ...],
        parts: tuple[bool, ...],
        g: torch.Tensor,
        x: torch.Tensor,
        t: torch.Tensor,
    ) -> Any:
        ctx.table, ctx.counts = table, counts
        ctx.save_for_backward(g, x, t)
        ctx.set_materialize_grads(False)
        by_x = torch.empty_like(x) if parts[0] else None
        by_t = torch.empty_like(t) if parts[1] else None
        for c in _slices(table, x):
            work = _Work(table, counts, x[c], t[:, c])
            m = work.monomials()
            if by_t is not None:
                by_t[:, c] = work.outer(g[c][:, :, None] * work.x[:, None], m)
            if by_x is not None:
                j = work.times(work.by_degree(m), work.t)
                torch.sum(j.mul_(g[c][:, :, None]), dim=1, out=by_x[c])
        return by_x, by_t

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: torch.Tensor | None, u: torch.Tensor | None) -> Any:
        """Gradients of Σ v ∂(g f)/∂x + Σ u ∂(g f)/∂T by g, x and T."""
        g, x, t = ctx.saved_tensors
        parts = wanted(ctx)
        table, counts = ctx.table, ctx.counts
        by_g, by_x, by_t = (
            torch.zeros_like(like) if part else None
            for part, like in zip(parts, (g, x, t), strict=True)
        )
        for c in _slices(table, x):
            work = _Work(table, counts, x[c], t[:, c])
            if v is not None:
                scaled = work.by_degree(work.monomials())
                if by_g is not None:
                    j = work.times(scaled, work.t)
                    by_g[c] += j.mul_(v[c][:, None]).sum(2)
                if by_t is not None:
                    by_t[:, c] += work.outer(g[c][:, :, None] * v[c][:, None], scaled)
                if by_x is not None:
                    j = work.times(work.by_degree(work.monomials_along(v[c])), work.t)
                    by_x[c] += j.mul_(g[c][:, :, None]).sum(1)
            if u is not None:
                m = work.monomials()
                if by_g is not None:
                    h = work.times(m, u[:, c])
                    by_g[c] += h.mul_(work.x[:, None]).sum(2)
                if by_x is not None:
                    j = work.times(work.by_degree(m), u[:, c])
                    by_x[c] += j.mul_(g[c][:, :, None]).sum(1)
        return None, None, None, by_g, by_x, by_t
