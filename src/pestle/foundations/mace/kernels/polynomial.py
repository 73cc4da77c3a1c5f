"""The polynomials of a contraction as a function with hand-written first and second derivatives.

With coefficients T that are symmetric in the components,

    f_o(x) = Σ_k x_k Σ_r T[ok, r] M_r(x),   J_ok = ∂f_o/∂x_k = Σ_r T[ok, r] d_r M_r(x),

M_r being 1, x_i or x_i x_j and d_r = 1, 2 or 3 the degree of the term; the derivative of J along v
has M'(x; v) = x_i v_j + v_i x_j in the place of M. So all of them are the same product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pestle.foundations.derivatives import wanted
from pestle.foundations.mace.kernels.symmetry import Table
from pestle.foundations.messages.neighbourhoods import group_bytes


def polynomial(
    table: Table, counts: tuple[int, ...], x: torch.Tensor, coefficients: torch.Tensor
) -> torch.Tensor:
    """f, [channels, n_outputs, n_atoms]; twice differentiable by x and T.

    Args:
        table: which coefficients there are.
        counts: atoms of each element.
        x: [channels, components, n_atoms], atoms sorted by element.
        coefficients: T, [n_elements, channels, classes, columns, rows], symmetric as mace's
            couplings are made to be by `symmetry`.
    """
    return _Polynomial.apply(table, counts, x, coefficients)


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
