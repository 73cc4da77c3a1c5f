"""Compute the products of which messages and their derivatives consist, for one group at a time.

The letters Q, w, x, m and G are those of the equation in `pestle.foundations.messages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from pestle.foundations.messages.neighbourhoods import Group, Neighbourhoods
from pestle.foundations.messages.paths import Paths

Tensors = list[torch.Tensor | None]


class Edges:
    """This class gives the tensors of a message sum group by group.

    Iterating over it yields one `Place` per group of receivers.

    Args:
        paths: the paths of the layer.
        around: the groups of receivers.
        tensors: Q [n_edges, Σ d1 · d3], then w of every block [n_edges, n_paths · channels], then x
            of every block [n_atoms, d1, channels]; or their tangents (directions of a derivative).
            `None` stands for a tensor that is zero.
    """

    def __init__(
        self, paths: Paths, around: Neighbourhoods, tensors: Sequence[torch.Tensor | None]
    ) -> None:
        self.paths, self.around = paths, around
        self.like = next(x for x in tensors if x is not None)
        n = len(paths.channels)
        couplings = tensors[0]
        # One additional row of zeros, to which empty slots point.
        self.couplings = None
        if couplings is not None:
            self.couplings = torch.cat([couplings, couplings.new_zeros(1, couplings.shape[1])])
        #: Per block, w with one row per edge and path, and x with one row per atom and component.
        self.weights, self.features = (
            [
                None if x is None else x.reshape(-1, channels)
                for x, channels in zip(some, paths.channels, strict=True)
            ]
            for some in (tensors[1 : n + 1], tensors[n + 1 :])
        )

    def __iter__(self) -> Iterator[Place]:
        for group in self.around.groups:
            yield Place(self, group)

    def new_messages(self) -> list[torch.Tensor]:
        """Return messages of zeros, one tensor [n_receivers, d3, channels] per block."""
        paths = self.paths
        return [
            self.like.new_zeros(
                self.around.n_receivers,
                paths.dims[into[0]],
                sum(paths.channels[paths.paths[k].block] for k in into),
            )
            for _, into in paths.outputs
        ]

    def new_gradients(
        self, parts: tuple[bool, ...], *, couplings_set: bool, weights_set: bool
    ) -> Gradients:
        """Return memory for the gradients with respect to Q, w and x.

        Args:
            parts: for Q, each w and each x, whether its gradient is wanted.
            couplings_set: whether every edge of the gradient with respect to Q will be set. If so,
                the memory is left uninitialised, otherwise it is filled with zeros.
            weights_set: the same for the gradients with respect to w.
        """
        n, paths = self.around.n_edges + 1, self.paths
        blocks = len(paths.channels)
        couplings, weights = (
            self.like.new_empty if will_be_set else self.like.new_zeros
            for will_be_set in (couplings_set, weights_set)
        )
        return Gradients(
            paths,
            couplings(n, sum(paths.couplings)) if parts[0] else None,
            [
                weights(n, width) if part else None
                for part, width in zip(parts[1 : blocks + 1], paths.weights, strict=True)
            ],
            [
                torch.zeros_like(x) if part and x is not None else None
                for part, x in zip(parts[blocks + 1 :], self.features, strict=True)
            ],
        )


@dataclass
class Gradients:
    """This class collects the gradients with respect to Q, w and x while the groups are computed.

    The gradients with respect to Q and w have one row more than there are edges; empty slots write
    to it.
    """

    paths: Paths
    couplings: torch.Tensor | None
    weights: Tensors
    features: Tensors

    def finished(self) -> Tensors:
        """Return the gradients in the shapes of Q, w and x, `None` where none is wanted."""
        return [
            None if self.couplings is None else self.couplings[:-1],
            *(None if g is None else g[:-1] for g in self.weights),
            *(
                None if g is None else g.view(-1, dim, channels)
                for g, dim, channels in zip(
                    self.features, self.paths.components, self.paths.channels, strict=True
                )
            ),
        ]


class Place:
    """This class holds the tensors of one group: n receivers with n_places neighbour slots each.

    In empty slots Q is zero, so they add nothing to a message. A tensor is looked up only when it
    is needed. G always means the gradient with respect to the messages.
    """

    def __init__(self, at: Edges, group: Group) -> None:
        self.at, self.paths, self.group = at, at.paths, group
        self.n, self.n_places = len(group.receiver), group.n_places

    @cached_property
    def couplings(self) -> list[torch.Tensor]:
        """Return Q, one tensor [n, d1 · n_places, d3] per path."""
        assert self.at.couplings is not None
        rows = self.at.couplings.index_select(0, self.group.edge)
        return [
            part.view(self.n, self.n_places, -1, dim).transpose(1, 2).reshape(self.n, -1, dim)
            for part, dim in zip(
                rows.split(self.paths.couplings, dim=1), self.paths.dims, strict=True
            )
        ]

    @cached_property
    def weights(self) -> list[torch.Tensor]:
        """Return w, one tensor [n_paths, n, 1, n_places, channels] per block of the features.

        An empty slot has the weights of some other edge; its Q is zero.
        """
        found = []
        for w, own, channels in zip(
            self.at.weights, self.paths.of_block, self.paths.channels, strict=True
        ):
            shape = (len(own), self.n, 1, self.n_places, channels)
            if w is None or not own:
                found.append(self.at.like.new_zeros(()).expand(shape))
                continue
            found.append(w.index_select(0, self.group.path_rows(len(own))).view(shape))
        return found

    @property
    def _senders(self) -> list[torch.Tensor]:
        """Return the rows of the senders in x, [n · d1 · n_places] per block."""
        return [self.group.sender_rows(dim) for dim in self.paths.components]

    @cached_property
    def sent(self) -> list[torch.Tensor]:
        """Return x of the senders, one tensor [n, d1, n_places, channels] per block.

        A block that is `None`, as in tangents, gives zeros.
        """
        found = []
        for x, rows, dim, channels in zip(
            self.at.features,
            self._senders,
            self.paths.components,
            self.paths.channels,
            strict=True,
        ):
            shape = (self.n, dim, self.n_places, channels)
            if x is None:
                found.append(self.at.like.new_zeros(()).expand(shape))
            else:
                found.append(x.index_select(0, rows).view(shape))
        return found

    def of_receivers(self, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Select G of this group's receivers, one tensor [n, d3, channels] per path.

        Args:
            given: G of the whole batch, [n_receivers, d3, channels] per block of the messages.
        """
        found: list[torch.Tensor] = [self.at.like] * len(self.paths.paths)
        for g, (_, into) in zip(given, self.paths.outputs, strict=True):
            own = g.index_select(0, self.group.receiver)
            sizes = [self.paths.channels[self.paths.paths[k].block] for k in into]
            for k, part in zip(into, own.split(sizes, dim=2), strict=True):
                found[k] = part
        return found

    # -- products -------------------------------------------------------------------------------
    @cached_property
    def products(self) -> list[torch.Tensor]:
        """Return w x, one tensor [n_paths, n, d1, n_places, channels] per block of the features."""
        return self.times(self.weights, self.sent)

    def times(
        self,
        weights: list[torch.Tensor],
        sent: list[torch.Tensor],
        onto: list[torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:
        """Multiply weights with features, which may be those of a tangent.

        Args:
            weights: w per block, in the shapes of `weights`.
            sent: x per block, in the shapes of `sent`.
            onto: tensors to which the products are added in place; `None` makes new ones.
        """
        if onto is not None:
            return [o.addcmul_(w, x) for o, w, x in zip(onto, weights, sent, strict=True)]
        return [w * x for w, x in zip(weights, sent, strict=True)]

    def _by_path(self, products: list[torch.Tensor]) -> list[torch.Tensor]:
        """Split the products into one tensor [n, d1 · n_places, channels] per path."""
        return [part.flatten(1, 2) for block in products for part in block.unbind()]

    def add_messages(
        self,
        found: list[torch.Tensor],
        couplings: list[torch.Tensor],
        products: list[torch.Tensor],
    ) -> None:
        """Add the messages of this group's receivers to those of the batch.

        Args:
            found: messages of the batch, [n_receivers, d3, channels] per block; changed in place.
            couplings: Q per path, in the shapes of `couplings`.
            products: w x per block, in the shapes of `products`.
        """
        made = [
            torch.bmm(q.transpose(1, 2), p)
            for q, p in zip(couplings, self._by_path(products), strict=True)
        ]
        for total, (_, into) in zip(found, self.paths.outputs, strict=True):
            total.index_add_(0, self.group.receiver, joined([made[k] for k in into], 2))

    def by_products(
        self, couplings: list[torch.Tensor], given: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return the gradient with respect to w x, Σ_k Q G, in the shapes of `products`.

        Args:
            couplings: Q per path, in the shapes of `couplings`.
            given: G per path, as `of_receivers` gives it.
        """
        found = []
        for own, dim, channels in zip(
            self.paths.of_block, self.paths.components, self.paths.channels, strict=True
        ):
            made = self.at.like.new_empty(len(own), self.n, dim, self.n_places, channels)
            for k, part in zip(own, made.unbind(), strict=True):
                torch.bmm(couplings[k], given[k], out=part.flatten(1, 2))
            found.append(made)
        return found

    # -- gradients ------------------------------------------------------------------------------
    def by_weights(
        self, found: Gradients, by_products: list[torch.Tensor], sent: list[torch.Tensor]
    ) -> Tensors:
        """Return the gradient with respect to w.

        It is the gradient with respect to w x times x, summed over the components.

        Args:
            found: says for which blocks the gradient is wanted.
            by_products: the gradient with respect to w x, as `by_products` gives it.
            sent: x per block, in the shapes of `sent`.

        Returns:
            [n_paths, n, n_places, channels] per block, `None` where it is not wanted.
        """
        return [
            None
            if wanted_ is None
            else (g[:, :, 0] * x[:, 0] if g.shape[2] == 1 else (g * x).sum(2))
            for wanted_, g, x in zip(found.weights, by_products, sent, strict=True)
        ]

    def set_by_weights(self, found: Gradients, by_weights: Tensors) -> None:
        """Write the gradient with respect to w into the rows of this group's edges.

        Each edge stands in exactly one slot, so its row is written once and nothing has to be
        added.

        Args:
            found: the gradients of the batch; changed in place.
            by_weights: what the method `by_weights` gives.
        """
        for total, g in zip(found.weights, by_weights, strict=True):
            if total is not None and g is not None:
                rows = g.permute(1, 2, 0, 3).reshape(len(self.group.edge), -1)
                total.index_copy_(0, self.group.edge, rows)

    def set_by_couplings(
        self, found: Gradients, products: list[torch.Tensor], given: list[torch.Tensor]
    ) -> None:
        """Write the gradient with respect to Q into the rows of this group's edges.

        It is Σ w x G, summed over the channels.

        Args:
            found: the gradients of the batch; changed in place.
            products: w x per block, in the shapes of `products`.
            given: G per path, as `of_receivers` gives it.
        """
        assert found.couplings is not None
        made = [
            torch.bmm(p, g.transpose(1, 2))
            .view(self.n, -1, self.n_places, g.shape[1])
            .transpose(1, 2)
            .reshape(len(self.group.edge), -1)
            for p, g in zip(self._by_path(products), given, strict=True)
        ]
        found.couplings.index_copy_(0, self.group.edge, joined(made, 1))

    def add_to_features(
        self, found: Gradients, by_products: list[torch.Tensor], weights: list[torch.Tensor]
    ) -> None:
        """Add the gradient with respect to x to the rows of the senders.

        It is the gradient with respect to w x times w, summed over the paths.

        Args:
            found: the gradients of the batch; changed in place where the gradient with respect to x
                is wanted.
            by_products: the gradient with respect to w x, as `by_products` gives it.
            weights: w per block, in the shapes of `weights`.
        """
        for total, rows, g, w in zip(
            found.features, self._senders, by_products, weights, strict=True
        ):
            if total is not None and len(g):
                by_sent = g[0] * w[0] if len(g) == 1 else (g * w).sum(0)
                total.index_add_(0, rows, by_sent.view(-1, total.shape[1]))


def joined(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    """Concatenate tensors along `dim`; a single tensor is returned as it is, without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
