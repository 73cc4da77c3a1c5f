"""The products that messages and their derivatives consist of, a group of receivers at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from pestle.foundations.messages.neighbourhoods import Group, Neighbourhoods
from pestle.foundations.messages.paths import Paths

Tensors = list[torch.Tensor | None]


class Edges:
    """The tensors of a sum, to be looked at group by group; `None` where one is not there.

    Args:
        paths, around: of the sum.
        tensors: Q, w by block, x by block; or tangents of them.
    """

    def __init__(
        self, paths: Paths, around: Neighbourhoods, tensors: Sequence[torch.Tensor | None]
    ) -> None:
        self.paths, self.around = paths, around
        self.like = next(x for x in tensors if x is not None)
        n = len(paths.channels)
        couplings = tensors[0]
        # One row more, of zeros: the edge that does not exist.
        self.couplings = None
        if couplings is not None:
            self.couplings = torch.cat([couplings, couplings.new_zeros(1, couplings.shape[1])])
        #: By block, a row for each edge and path, and for each atom and component.
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
        """Messages of zeros."""
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
        """Gradients by Q, w and x, where they are wanted: zero, or not filled in if all edges of
        them will be set."""
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
    """Gradients on their way; those by Q and w have a row for the edge that does not exist."""

    paths: Paths
    couplings: torch.Tensor | None
    weights: Tensors
    features: Tensors

    def finished(self) -> Tensors:
        """By Q, w and x, in the shapes of the inputs."""
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
    """The edges of one group: n receivers with n_places each, Q zero where there is no edge."""

    def __init__(self, at: Edges, group: Group) -> None:
        self.at, self.paths, self.group = at, at.paths, group
        self.n, self.n_places = len(group.receiver), group.n_places

    @cached_property
    def couplings(self) -> list[torch.Tensor]:
        """Q by path, [n, d1 · n_places, d3]."""
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
        """w by block, [n_paths, n, 1, n_places, channels]; of any edge where there is none."""
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
        """Rows of the senders' x by block, [n · d1 · n_places]."""
        return [self.group.sender_rows(dim) for dim in self.paths.components]

    @cached_property
    def sent(self) -> list[torch.Tensor]:
        """x of the senders by block, [n, d1, n_places, channels]; zero for a block that has none,
        as tangents may."""
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
        """G of the group's receivers by path, [n, d3, channels]."""
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
        """w x by block, [n_paths, n, d1, n_places, channels]."""
        return self.times(self.weights, self.sent)

    def times(
        self,
        weights: list[torch.Tensor],
        sent: list[torch.Tensor],
        onto: list[torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:
        """w x by block, added to what is there."""
        if onto is not None:
            return [o.addcmul_(w, x) for o, w, x in zip(onto, weights, sent, strict=True)]
        return [w * x for w, x in zip(weights, sent, strict=True)]

    def _by_path(self, products: list[torch.Tensor]) -> list[torch.Tensor]:
        """Of each path [n, d1 · n_places, channels]."""
        return [part.flatten(1, 2) for block in products for part in block.unbind()]

    def add_messages(
        self,
        found: list[torch.Tensor],
        couplings: list[torch.Tensor],
        products: list[torch.Tensor],
    ) -> None:
        """Add the sums over the places to the messages."""
        made = [
            torch.bmm(q.transpose(1, 2), p)
            for q, p in zip(couplings, self._by_path(products), strict=True)
        ]
        for total, (_, into) in zip(found, self.paths.outputs, strict=True):
            total.index_add_(0, self.group.receiver, joined([made[k] for k in into], 2))

    def by_products(
        self, couplings: list[torch.Tensor], given: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Gradient by w x: Σ_k Q G, in the shape of `products`."""
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
        """Gradient by w where it is wanted: that by w x times x, over the components,
        [n_paths, n, n_places, channels] by block."""
        return [
            None
            if wanted_ is None
            else (g[:, :, 0] * x[:, 0] if g.shape[2] == 1 else (g * x).sum(2))
            for wanted_, g, x in zip(found.weights, by_products, sent, strict=True)
        ]

    def set_by_weights(self, found: Gradients, by_weights: Tensors) -> None:
        """Set the gradient by w. Every edge stands in one place."""
        for total, g in zip(found.weights, by_weights, strict=True):
            if total is not None and g is not None:
                rows = g.permute(1, 2, 0, 3).reshape(len(self.group.edge), -1)
                total.index_copy_(0, self.group.edge, rows)

    def set_by_couplings(
        self, found: Gradients, products: list[torch.Tensor], given: list[torch.Tensor]
    ) -> None:
        """Set the gradient by Q to Σ w x G. Every edge stands in one place."""
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
        """Add the gradients by x where they are wanted, that by w x times w over the paths, at the
        senders."""
        for total, rows, g, w in zip(
            found.features, self._senders, by_products, weights, strict=True
        ):
            if total is not None and len(g):
                by_sent = g[0] * w[0] if len(g) == 1 else (g * w).sum(0)
                total.index_add_(0, rows, by_sent.view(-1, total.shape[1]))


def joined(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
