"""Compute the sums over neighbours with hand-written first and second derivatives.

The letters Q, w, x, m and G are those of the equation in `pestle.foundations.messages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pestle.foundations.derivatives import wanted
from pestle.foundations.messages.neighbourhoods import Neighbourhoods
from pestle.foundations.messages.paths import Paths
from pestle.foundations.messages.products import Edges, Tensors


def message_sums(
    paths: Paths,
    around: Neighbourhoods,
    couplings: torch.Tensor,
    weights: Sequence[torch.Tensor],
    features: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Sum the messages that every atom receives from its neighbours.

    The result can be differentiated twice with respect to all tensors given here.

    Args:
        paths: the paths of the layer.
        around: the neighbours of the atoms.
        couplings: Q, [n_edges, Σ d1 · d3], as `Paths.coupled` gives it.
        weights: w, one tensor [n_edges, n_paths · channels] per block of the features, with the
            paths in the order of `Paths.order`.
        features: x, one tensor [n_atoms, d1, channels] per block.

    Returns:
        One tensor [n_receivers, d3, channels] per block of the messages, as in `Paths.outputs`.
    """
    return _Sums.apply(paths, around, couplings, *weights, *features)


class _Sums(torch.autograd.Function):
    """This function computes the messages m from paths, around, Q, w per block and x per block."""

    @staticmethod
    def forward(ctx: Any, paths: Paths, around: Neighbourhoods, *tensors: torch.Tensor) -> Any:
        ctx.paths, ctx.around = paths, around
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        at = Edges(paths, around, tensors)
        found = at.new_messages()
        for place in at:
            place.add_messages(found, place.couplings, place.products)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        saved = ctx.saved_tensors
        if all(g is None for g in gradients):
            return (None,) * (2 + len(saved))
        blank = Edges(ctx.paths, ctx.around, saved).new_messages
        filled = gradients
        if any(g is None for g in gradients):
            filled = tuple(
                zero if g is None else g for g, zero in zip(gradients, blank(), strict=True)
            )
        found = _Gradients.apply(ctx.paths, ctx.around, wanted(ctx), *filled, *saved)
        return None, None, *found


class _Gradients(torch.autograd.Function):
    """This function computes the gradients of Σ G·m by Q, w and x.

    Its inputs are paths, around, the parts wanted, and G, Q, w and x.
    """

    @staticmethod
    def forward(
        ctx: Any, paths: Paths, around: Neighbourhoods, parts: tuple[bool, ...], *tensors: Any
    ) -> Any:
        ctx.paths, ctx.around = paths, around
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        n = len(paths.outputs)
        at = Edges(paths, around, tensors[n:])
        found = at.new_gradients(parts, couplings_set=True, weights_set=True)
        for place in at:
            given = place.of_receivers(tensors[:n])
            if found.couplings is not None:
                place.set_by_couplings(found, place.products, given)
            if any(parts[1:]):
                by_products = place.by_products(place.couplings, given)
                place.set_by_weights(found, place.by_weights(found, by_products, place.sent))
                place.add_to_features(found, by_products, place.weights)
        return tuple(found.finished())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *tangents: torch.Tensor | None) -> Any:
        if all(t is None for t in tangents):
            return (None,) * (3 + len(ctx.saved_tensors))
        found = _second(ctx.paths, ctx.around, ctx.saved_tensors, tangents, wanted(ctx))
        return None, None, None, *found


def _second(
    paths: Paths,
    around: Neighbourhoods,
    saved: Sequence[torch.Tensor],
    tangents: Sequence[torch.Tensor | None],
    needed: tuple[bool, ...],
) -> list[torch.Tensor | None]:
    """Return the second derivatives: the gradients of Σ tangent · (gradient of Σ G·m).

    They are with respect to G, Q, w and x.

    m is linear in each of Q, w and x. What is differentiated here is therefore its derivative along
    the tangents Q', w' and x', Σ G · (m(Q', w, x) + m(Q, w', x) + m(Q, w, x')).
    """
    n = len(paths.outputs)
    at, along = Edges(paths, around, saved[n:]), Edges(paths, around, tangents)
    by_given = at.new_messages() if any(needed[:n]) else None
    q_moves = along.couplings is not None
    w_moves, x_moves = (any(t is not None for t in x) for x in (along.weights, along.features))
    found = at.new_gradients(
        needed[n:], couplings_set=w_moves or x_moves, weights_set=q_moves or x_moves
    )
    for place, moved in zip(at, along, strict=True):
        given = place.of_receivers(saved[:n])
        products_moved = None
        if w_moves:
            products_moved = place.times(moved.weights, place.sent)
        if x_moves:
            products_moved = place.times(place.weights, moved.sent, onto=products_moved)
        if by_given is not None:
            if products_moved is not None:
                place.add_messages(by_given, place.couplings, products_moved)
            if q_moves:
                place.add_messages(by_given, moved.couplings, place.products)
        if found.couplings is not None and products_moved is not None:
            place.set_by_couplings(found, products_moved, given)
        if not any(needed[n + 1 :]):
            continue
        by_products = by_moved = None
        if w_moves or x_moves:
            by_products = place.by_products(place.couplings, given)
        if q_moves:
            by_moved = place.by_products(moved.couplings, given)
        terms = []
        if by_products is not None and x_moves:
            terms.append(place.by_weights(found, by_products, moved.sent))
        if by_moved is not None:
            terms.append(place.by_weights(found, by_moved, place.sent))
        if terms:
            place.set_by_weights(found, terms[0] if len(terms) == 1 else _added(*terms))
        if by_products is not None and w_moves:
            place.add_to_features(found, by_products, moved.weights)
        if by_moved is not None:
            place.add_to_features(found, by_moved, place.weights)
    return [*([None] * n if by_given is None else by_given), *found.finished()]


def _added(a: Tensors, b: Tensors) -> Tensors:
    """Add the tensors of two lists in place, and give `None` where one of them is missing."""
    return [None if x is None or y is None else x.add_(y) for x, y in zip(a, b, strict=True)]
