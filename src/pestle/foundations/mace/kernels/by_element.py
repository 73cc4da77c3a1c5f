"""Apply linear layers that have a matrix per element, with few products of padded matrices.

Atoms are sorted by element. Elements with similar numbers of atoms are padded to the same number of
slots, and one batched matrix product computes them together.
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
    """This class says which element every atom of a batch is.

    Attributes:
        present: [n_elements] indices, in the model's list, of the elements in the batch; the most
            frequent comes first.
        counts: number of atoms of each of these elements.
        order: [n_atoms] indices of the atoms, sorted by element.
        place: [n_atoms] position of each atom in `order`.
        groups: for each group of elements that are padded together, the number of elements and the
            number of slots of each.
        padded: [n_atoms] index of each atom's slot among all slots.
    """

    present: torch.Tensor
    counts: tuple[int, ...]
    order: torch.Tensor
    place: torch.Tensor
    groups: tuple[tuple[int, int], ...]
    padded: torch.Tensor

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """Put values of atoms into their slots; empty slots get zeros.

        Args:
            x: [n_atoms, …].

        Returns:
            [n_slots, …].
        """
        n_places = sum(n * places for n, places in self.groups)
        return x.new_zeros(n_places, *x.shape[1:]).index_copy_(0, self.padded, x)

    def parts(self, spread: torch.Tensor) -> list[torch.Tensor]:
        """Split values in slots by group.

        Args:
            spread: [n_slots, m, channels].

        Returns:
            For each group a tensor [n_elements of the group, slots · m, channels].
        """
        sizes = [n * places for n, places in self.groups]
        return [
            part.reshape(n, -1, spread.shape[2])
            for part, (n, _) in zip(spread.split(sizes), self.groups, strict=True)
        ]

    def matrices(self, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Split the matrices [n_elements, n_in, n_out] of the elements by group."""
        return w.split([n for n, _ in self.groups])


def elements(columns: torch.Tensor) -> Elements:
    """Sort the atoms of a batch by element.

    Args:
        columns: [n_atoms] index of each atom's element in the model's list.
    """
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
    for last in bounds(numbers, len(columns) * len(numbers)):  # only the padding limits a group
        n_places = numbers[first]
        groups.append((last - first, n_places))
        for count in numbers[first:last]:
            moved.append(start - atoms)
            start, atoms = start + n_places, atoms + count
        first = last
    padded = place + torch.tensor(moved, device=place.device)[element]
    return Elements(present[by_size], tuple(numbers), order, place, tuple(groups), padded)


class LinearByElement:
    """This class runs mace's product of features and one-hot elements.

    Such a product is a linear layer with a matrix for each element.

    Args:
        layer: an `o3.FullyConnectedTensorProduct` of features and element scalars; its weight is
            read at every call.
    """

    def __init__(self, layer: o3.TensorProduct) -> None:
        self.layer = layer
        self.out = [(ir.dim, mul) for mul, ir in layer.irreps_out]
        #: Consecutive instructions whose weights have the same shape, and this shape.
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
        """Apply to each atom the layer of its element.

        Args:
            features: one tensor [n_atoms, 2l + 1, channels] per input block.
            which: the elements of the atoms.

        Returns:
            One tensor [n_atoms, 2l + 1, channels] per output block.
        """
        terms: list[Blocks] = [[] for _ in self.out]
        weight = self.layer.weight
        # Usually all shapes are the same. `split` is avoided then, because its derivative is slow.
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
    """Multiply each atom's features with the matrix of its element.

    The result can be differentiated twice with respect to x and w.

    Args:
        which: the elements of the atoms.
        x: [n_atoms, m, n_in] features.
        w: [n_elements, n_in, n_out] matrices, in the order of `which.present`.

    Returns:
        [n_atoms, m, n_out].
    """
    return _Products.apply(which, x, w)


def _times(which: Elements, spread: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Multiply values in slots [n_slots, m, n_in] with the matrices of their elements."""
    made = [
        torch.bmm(x, matrices).view(-1, spread.shape[1], w.shape[2])
        for x, matrices in zip(which.parts(spread), which.matrices(w), strict=True)
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


def _outer(which: Elements, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Sum products of two values in slots over the atoms of each element.

    Args:
        which: the elements of the atoms.
        a: [n_slots, m, n_in].
        b: [n_slots, m, n_out].

    Returns:
        [n_elements, n_in, n_out].
    """
    made = [
        torch.bmm(x.transpose(1, 2), y) for x, y in zip(which.parts(a), which.parts(b), strict=True)
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


class _Products(torch.autograd.Function):
    """This function computes x w from which, x and w."""

    @staticmethod
    def forward(ctx: Any, which: Elements, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.which = which
        ctx.save_for_backward(x, w)
        return _times(which, which.spread(x), w).index_select(0, which.padded)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return None, *_ProductGradients.apply(ctx.which, wanted(ctx), g, *ctx.saved_tensors)


class _ProductGradients(torch.autograd.Function):
    """This function computes the gradients of Σ g x w with respect to x and w.

    Its inputs are which, the parts wanted, and g, x and w.
    """

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
        """Return the gradients of Σ v ∂(g x w)/∂x + Σ u ∂(g x w)/∂w with respect to g, x and w."""
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
