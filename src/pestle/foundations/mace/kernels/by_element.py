"""Linear layers with a matrix for each element, as products of a few padded matrices.

Atoms stand sorted by element, elements with about as many atoms side by side and padded to the
same number of places: a batched matrix product takes them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from pestle.foundations.constants import Constant
from pestle.foundations.derivatives import wanted
from pestle.foundations.mace.kernels.linear import Blocks
from pestle.foundations.mace.runtime import o3
from pestle.foundations.messages.neighbourhoods import bounds


@dataclass(frozen=True)
class Elements:
    """Which element every atom of a batch is.

    Attributes:
        present: positions, in the model's list, of the elements that are there, the most frequent
            first.
        counts: how many atoms of each.
        order: [n_atoms] atoms sorted by element.
        place: [n_atoms] where each atom stands in that order.
        groups: elements that are padded together: how many, and places of each of them.
        padded: [n_atoms] where each atom stands among all places.
    """

    present: torch.Tensor
    counts: tuple[int, ...]
    order: torch.Tensor
    place: torch.Tensor
    groups: tuple[tuple[int, int], ...]
    padded: torch.Tensor

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """Values of atoms [n_atoms, …] at their places, zero where there is no atom."""
        n_places = sum(n * places for n, places in self.groups)
        return x.new_zeros(n_places, *x.shape[1:]).index_copy_(0, self.padded, x)

    def parts(self, spread: torch.Tensor) -> list[torch.Tensor]:
        """Values at places [n_places, m, channels] by group, [n_elements, rows, channels] each."""
        sizes = [n * places for n, places in self.groups]
        return [
            part.reshape(n, -1, spread.shape[2])
            for part, (n, _) in zip(spread.split(sizes), self.groups, strict=True)
        ]

    def matrices(self, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Matrices of the elements by group."""
        return w.split([n for n, _ in self.groups])


def elements(columns: torch.Tensor) -> Elements:
    """The elements of a batch, from the position of each atom's element in the model's list."""
    present, element, counts = torch.unique(columns, return_inverse=True, return_counts=True)
    by_size = torch.argsort(counts, descending=True, stable=True)
    rank = torch.empty_like(by_size)
    rank[by_size] = torch.arange(len(by_size), device=by_size.device)
    element = rank[element]
    order = torch.argsort(element, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    numbers: list[int] = counts[by_size].tolist()
    groups, moved, first, start, atoms = [], [], 0, 0, 0
    for last in bounds(numbers, len(columns) * len(numbers)):  # no bound but that of the padding
        n_places = numbers[first]
        groups.append((last - first, n_places))
        for count in numbers[first:last]:
            moved.append(start - atoms)
            start, atoms = start + n_places, atoms + count
        first = last
    padded = place + torch.tensor(moved, device=place.device)[element]
    return Elements(present[by_size], tuple(numbers), order, place, tuple(groups), padded)


class LinearByElement:
    """mace's product of features with one-hot elements: a linear layer for each element.

    Args:
        layer: an `o3.FullyConnectedTensorProduct` of features and element scalars.
    """

    def __init__(self, layer: o3.TensorProduct) -> None:
        self.layer = layer
        self.out = [(ir.dim, mul) for mul, ir in layer.irreps_out]
        #: Instructions next to each other whose weights have the same shape: these, that shape.
        self._runs = [
            (list(run), shape) for shape, run in groupby(layer.instructions, lambda i: i.path_shape)
        ]
        self._sizes = [len(run) * a * b * c for run, (a, b, c) in self._runs]
        self._scales = [
            Constant(
                torch.tensor(
                    [i.path_weight * self.out[i.i_out][0] ** -0.5 for i in run],
                    dtype=torch.float64,
                ).view(-1, 1, 1, 1)
            )
            for run, _ in self._runs
        ]

    def __call__(self, features: Sequence[torch.Tensor], which: Elements) -> Blocks:
        """The layer of each atom's element.

        Args:
            features: by block, each [n_atoms, 2l + 1, channels].
            which: elements of the atoms.
        """
        terms: list[Blocks] = [[] for _ in self.out]
        weight = self.layer.weight
        # As a rule all shapes are the same; split has a costly derivative.
        parts = (weight,) if len(self._sizes) == 1 else weight.split(self._sizes)
        for (run, shape), part, scale in zip(self._runs, parts, self._scales, strict=True):
            if not part.numel():
                continue
            weights = part.view(len(run), *shape).index_select(2, which.present).transpose(1, 2)
            weights = weights * scale.like(weights)
            for instruction, matrices in zip(run, weights.unbind(), strict=True):
                found = products_by_element(which, features[instruction.i_in1], matrices)
                terms[instruction.i_out].append(found)
        n, like = len(which.order), features[0]
        return [
            sum(made[1:], made[0]) if made else like.new_zeros(n, *size)
            for made, size in zip(terms, self.out, strict=True)
        ]


def products_by_element(which: Elements, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Each atom's features times the matrix of its element, [n_atoms, m, n_out].

    Twice differentiable.

    Args:
        which: elements of the atoms.
        x: [n_atoms, m, n_in].
        w: [n_elements, n_in, n_out], in the order of `which.present`.
    """
    return _Products.apply(which, x, w)


def _times(which: Elements, spread: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Values at places [n_places, m, n_in] times matrices, at the same places."""
    made = [
        torch.bmm(x, matrices).view(-1, spread.shape[1], w.shape[2])
        for x, matrices in zip(which.parts(spread), which.matrices(w), strict=True)
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


def _outer(which: Elements, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Sums over the atoms of each element of products of values at places, [n_elements, …]."""
    made = [
        torch.bmm(x.transpose(1, 2), y) for x, y in zip(which.parts(a), which.parts(b), strict=True)
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


class _Products(torch.autograd.Function):
    """x w. Inputs: which, x, w."""

    @staticmethod
    def forward(ctx: Any, which: Elements, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.which = which
        ctx.save_for_backward(x, w)
        return _times(which, which.spread(x), w).index_select(0, which.padded)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return None, *_ProductGradients.apply(ctx.which, wanted(ctx), g, *ctx.saved_tensors)


class _ProductGradients(torch.autograd.Function):
    """Gradients of Σ g x w by x and w. Inputs: which, parts wanted, g, x, w."""

    @staticmethod
    def forward(
        ctx: Any,
        which: Elements,
        parts: tuple[bool, ...],
        g: torch.Tensor,
        x: torch.Tensor,
        w: torch.Tensor,
    ) -> Any:
        ctx.which = which
        ctx.save_for_backward(g, x, w)
        ctx.set_materialize_grads(False)
        g = which.spread(g)
        by_x = by_w = None
        if parts[0]:
            by_x = _times(which, g, w.transpose(1, 2)).index_select(0, which.padded)
        if parts[1]:
            by_w = _outer(which, which.spread(x), g)
        return by_x, by_w

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: torch.Tensor | None, u: torch.Tensor | None) -> Any:
        """Gradients of Σ v ∂(g x w)/∂x + Σ u ∂(g x w)/∂w by g, x and w."""
        (g, x, w), which = ctx.saved_tensors, ctx.which
        parts = wanted(ctx)
        by_g = by_x = by_w = None
        if v is not None:
            v = which.spread(v)
            by_g = _times(which, v, w) if parts[0] else None
            by_w = _outer(which, v, which.spread(g)) if parts[2] else None
        if u is not None and parts[0]:
            more = _times(which, which.spread(x), u)
            by_g = more if by_g is None else by_g.add_(more)
        if u is not None and parts[1]:
            by_x = _times(which, which.spread(g), u.transpose(1, 2))
            by_x = by_x.index_select(0, which.padded)
        by_g = None if by_g is None else by_g.index_select(0, which.padded)
        return None, None, by_g, by_x, by_w
