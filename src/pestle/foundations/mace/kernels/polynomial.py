"""Compute the polynomials of a contraction with hand-written first and second derivatives.

With coefficients T that are symmetric in the components,

    f_o(x) = Σ_k x_k Σ_r T[ok, r] M_r(x),   J_ok = ∂f_o/∂x_k = Σ_r T[ok, r] d_r M_r(x).

Here o is an output, k a component of the features x, and r a monomial M_r, which is 1, x_i or x_i
x_j; d_r = 1, 2 or 3 is the degree of the term x_k M_r. The derivative of J along a vector v has
M'(x; v) = x_i v_j + v_i x_j in the place of M. So the polynomials and all their derivatives are the
same kind of product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from pestle.foundations.derivatives import wanted
from pestle.foundations.mace.kernels.symmetry import Table
from pestle.foundations.messages.neighbourhoods import group_bytes
from pestle.foundations.messages.products import joined


def polynomial(
    table: Table, counts: tuple[int, ...], x: torch.Tensor, coefficients: torch.Tensor
) -> torch.Tensor:
    """Compute f for every atom; it can be differentiated twice with respect to x and T.

    Args:
        table: the classes of the coefficients, which say which of them are not zero.
        counts: number of atoms of each element.
        x: [channels, components, n_atoms] features, with the atoms sorted by element.
        coefficients: T, [n_elements, channels, classes, columns, rows], from `Table.coefficients`;
            symmetric, because mace's couplings were made so.

    Returns:
        [channels, n_outputs, n_atoms].
    """
    return _Polynomial.apply(table, counts, x, coefficients)


class _Work:
    """This class computes the products for some of the channels.

    Args:
        table: the classes of the coefficients.
        counts: number of atoms of each element.
        x: [channels, components, n_atoms] features.
        t: [n_elements, channels, classes, columns, rows] coefficients T.
    """

    def __init__(
        self, table: Table, counts: Sequence[int], x: torch.Tensor, t: torch.Tensor
    ) -> None:
        self.table, self.counts, self.x, self.t = table, list(counts), x, t
        self.left, self.right, self.column, self.place = table.indices(x.device)

    @cached_property
    def _factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both factors of every monomial, each [channels, classes · rows, n_atoms]."""
        with_one = torch.cat([self.x, torch.ones_like(self.x[:, :1])], dim=1)
        return with_one.index_select(1, self.left), with_one.index_select(1, self.right)

    @cached_property
    def monomials(self) -> torch.Tensor:
        """Return M(x), [channels, classes · rows, n_atoms]."""
        left, right = self._factors
        return left * right

    @cached_property
    def by_degree(self) -> torch.Tensor:
        """Return the degrees times the monomials, d M, in the shape of `monomials`."""
        return self.monomials * self.table.degrees(self.x)

    def by_degree_along(self, v: torch.Tensor) -> torch.Tensor:
        """Return the degrees times the derivative of the monomials along v, d M'(x; v).

        Args:
            v: [channels, components, n_atoms].

        Returns:
            [channels, classes · rows, n_atoms].
        """
        v = torch.cat([v, torch.zeros_like(v[:, :1])], dim=1)
        left, right = self._factors
        found = v.index_select(1, self.left).mul_(right)
        found.addcmul_(left, v.index_select(1, self.right))
        return found.mul_(self.table.degrees(found))

    def times(self, monomials: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Multiply coefficients with monomials, T M.

        Args:
            monomials: [channels, classes · rows, n_atoms].
            t: [n_elements, channels, classes, columns, rows].

        Returns:
            [channels, n_outputs, components, n_atoms].
        """
        n_classes, n_columns, n_rows = self.table.shape
        channels, _, n_atoms = monomials.shape
        m = monomials.view(channels * n_classes, n_rows, n_atoms)
        made = [
            torch.bmm(own, part)
            for own, part in zip(t.flatten(1, 2), m.split(self.counts, dim=2), strict=True)
        ]
        found = joined(made, 2).view(channels, n_classes * n_columns, n_atoms)
        found = found.index_select(1, self.place)
        return found.view(channels, self.table.n_outputs, self.table.n, n_atoms)

    def outer(self, factors: torch.Tensor, monomials: torch.Tensor) -> torch.Tensor:
        """Return the gradient with respect to T, Σ_atoms factors[o, k] M.

        Args:
            factors: [channels, n_outputs, components, n_atoms].
            monomials: [channels, classes · rows, n_atoms].

        Returns:
            [n_elements, channels, classes, columns, rows].
        """
        n_classes, n_columns, n_rows = self.table.shape
        channels, _, n_atoms = monomials.shape
        a = factors.flatten(1, 2).index_select(1, self.column)
        a = a.view(channels * n_classes, n_columns, n_atoms)
        m = monomials.view(channels * n_classes, n_rows, n_atoms).transpose(1, 2)
        made = monomials.new_empty(len(self.counts), len(a), n_columns, n_rows)
        parts = zip(a.split(self.counts, dim=2), m.split(self.counts, dim=1), strict=True)
        for into, (own, part) in zip(made, parts, strict=True):
            torch.bmm(own, part, out=into)
        return made.unflatten(1, (channels, n_classes))


def _slices(table: Table, x: torch.Tensor) -> list[slice]:
    """Split the channels so that the products of each part fit into the cache of a CPU."""
    n_classes, n_columns, n_rows = table.shape
    numbers = n_classes * (n_columns + n_rows) * max(1, x.shape[2])
    step = max(1, group_bytes(x.device) // (numbers * x.element_size()))
    return [slice(k, min(k + step, len(x))) for k in range(0, len(x), step)]


class _Polynomial(torch.autograd.Function):
    """This function computes f from table, counts, x and T.

    It keeps J, because the first and the second derivatives both need it.
    """

    @staticmethod
    def forward(
        ctx: Any, table: Table, counts: tuple[int, ...], x: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        ctx.table, ctx.counts = table, counts
        values, slopes = [], []
        for c in _slices(table, x):
            work = _Work(table, counts, x[c], t[:, c])
            values.append(work.times(work.monomials, work.t).mul_(work.x[:, None]).sum(2))
            if any(ctx.needs_input_grad):
                slopes.append(work.times(work.by_degree, work.t))
        if slopes:
            ctx.save_for_backward(x, t, joined(slopes, 0))
        return joined(values, 0)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        given = _PolynomialGradients.apply(
            ctx.table, ctx.counts, wanted(ctx), g, *ctx.saved_tensors
        )
        return None, None, *given


class _PolynomialGradients(torch.autograd.Function):
    """This function computes the gradients of Σ g f with respect to x and T.

    Its inputs are table, counts, the parts wanted, and g, x, T and J.
    """

    @staticmethod
    def forward(
        ctx: Any,
        table: Table,
        counts: tuple[int, ...],
        parts: tuple[bool, ...],
        g: torch.Tensor,
        x: torch.Tensor,
        t: torch.Tensor,
        j: torch.Tensor,
    ) -> Any:
        ctx.table, ctx.counts = table, counts
        ctx.save_for_backward(g, x, t, j)
        ctx.set_materialize_grads(False)
        by_x, by_t = [], []
        for c in _slices(table, x):
            if parts[0]:
                by_x.append((j[c] * g[c][:, :, None]).sum(1))
            if parts[1]:
                work = _Work(table, counts, x[c], t[:, c])
                by_t.append(work.outer(g[c][:, :, None] * work.x[:, None], work.monomials))
        return (
            joined(by_x, 0) if parts[0] else None,
            joined(by_t, 1) if parts[1] else None,
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: torch.Tensor | None, u: torch.Tensor | None) -> Any:
        """Return the gradients of Σ v ∂(g f)/∂x + Σ u ∂(g f)/∂T with respect to g, x and T."""
        g, x, t, j = ctx.saved_tensors
        parts = wanted(ctx)
        table, counts = ctx.table, ctx.counts
        by_g: list[torch.Tensor] = []
        by_x: list[torch.Tensor] = []
        by_t: list[torch.Tensor] = []
        for c in _slices(table, x):
            work = _Work(table, counts, x[c], t[:, c])
            of_g, of_x = [], []
            if v is not None:
                if parts[0]:
                    of_g.append((j[c] * v[c][:, None]).sum(2))
                if parts[1]:
                    h = work.times(work.by_degree_along(v[c]), work.t)
                    of_x.append(h.mul_(g[c][:, :, None]).sum(1))
                if parts[2]:
                    by_t.append(work.outer(g[c][:, :, None] * v[c][:, None], work.by_degree))
            if u is not None:
                if parts[0]:
                    of_g.append(work.times(work.monomials, u[:, c]).mul_(work.x[:, None]).sum(2))
                if parts[1]:
                    h = work.times(work.by_degree, u[:, c])
                    of_x.append(h.mul_(g[c][:, :, None]).sum(1))
            if of_g:
                by_g.append(sum(of_g[1:], of_g[0]))
            if of_x:
                by_x.append(sum(of_x[1:], of_x[0]))
        return (
            *(None, None, None),
            joined(by_g, 0) if by_g else None,
            joined(by_x, 0) if by_x else None,
            joined(by_t, 1) if by_t else None,
            None,
        )
