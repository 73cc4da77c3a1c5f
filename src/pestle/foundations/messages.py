"""Messages between neighbours, summed: where MACE and NequIP spend most of their time.

A path couples a block of the sender's features with a block of the spherical harmonics to a block
of the message, channel by channel ("uvu"), and weighs each channel by the radial network:

    m_i[k, u] = Σ_j Σ_n Q_ij[n, k] w_ij[u] x_j[n, u],   Q_ij[n, k] = Σ_m C_kmn Y_m(r_ij).

The coefficients C are applied to the harmonics, which have no channels; the sum over neighbours j
and components n is then one matrix product for an atom and a path. `message_sums` is that sum with
hand-written first and second derivatives: it is linear in each of Q, w and x, so all of them are
sums of the same few products. They are made group by group (`neighbourhoods.Group`), and nothing
as large as w x is ever kept. In a group w x is laid out as [path, receiver, component, place,
channel]: the matrix products take components and places together, and what is done number by number
runs over places and channels without a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from pestle.foundations.neighbourhoods import Group, Neighbourhoods


@dataclass(frozen=True, eq=False)
class Path:
    """A path by the places of what it couples.

    Attributes:
        block: of the features.
        harmonics: first component of the block of the harmonics.
        output: number of the message's block; paths may share one, next to each other in channels.
        coupling: [d3, d2, d1] float64, components of output, harmonics and features.
    """

    block: int
    harmonics: int
    output: int
    coupling: torch.Tensor


class Paths:
    """All paths of a layer.

    Args:
        paths: in any order; `order` says in which they stand here.
        channels: of each block of the features.
        components: of each block of the features.
        n_harmonics: components of the harmonics.

    Attributes:
        order: numbers of the paths given, by block of the features. w has their columns in this
            order, block by block, and so have the messages their channels.
        outputs: for each block of the messages, in the order of their numbers: its number and the
            places of its paths in `order`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        channels: Sequence[int],
        components: Sequence[int],
        n_harmonics: int,
    ) -> None:
        self.order = sorted(range(len(paths)), key=lambda k: paths[k].block)
        self.paths = [paths[k] for k in self.order]
        self.channels, self.components = list(channels), list(components)
        self.dims = [p.coupling.shape[0] for p in self.paths]
        self.outputs = [
            (output, [k for k, p in enumerate(self.paths) if p.output == output])
            for output in sorted({p.output for p in self.paths})
        ]
        #: Places of the paths that start from each block of the features.
        self.of_block = [
            [k for k, p in enumerate(self.paths) if p.block == block]
            for block in range(len(self.channels))
        ]
        #: Columns of w for each block of the features, and of Q for each path.
        self.weights = [len(own) * c for own, c in zip(self.of_block, self.channels, strict=True)]
        self.couplings = [p.coupling.shape[0] * p.coupling.shape[2] for p in self.paths]
        mixed = torch.zeros(n_harmonics, sum(self.couplings), dtype=torch.float64)
        start = 0
        for path, size in zip(self.paths, self.couplings, strict=True):
            first = path.harmonics
            flat = path.coupling.permute(1, 2, 0).flatten(1)
            mixed[first : first + len(flat), start : start + size] = flat
            start += size
        self._mixed = Constant(mixed)

    def coupled(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Q of all paths, [n_edges, Σ d1 · d3], from the harmonics [n_edges, n_harmonics]."""
        return harmonics @ self._mixed.like(harmonics)

    @property
    def numbers_per_edge(self) -> int:
        """Numbers that are made of an edge: w x."""
        return sum(w * d for w, d in zip(self.weights, self.components, strict=True))


def message_sums(
    paths: Paths,
    around: Neighbourhoods,
    couplings: torch.Tensor,
    weights: Sequence[torch.Tensor],
    features: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """The summed messages by block, as `Paths.outputs`: each [n_receivers, d3, channels].

    Twice differentiable by all its tensors.

    Args:
        paths: of the layer.
        around: neighbours of the receivers.
        couplings: Q, [n_edges, Σ d1 · d3].
        weights: w by block of the features, each [n_edges, n_paths · channels], its paths in the
            order of `Paths.order`.
        features: by block, each [n_atoms, d1, channels].
    """
    return _Sums.apply(paths, around, couplings, *weights, *features)


def wanted(ctx: Any) -> tuple[bool, ...]:
    """Which tensors given to a function need their gradient in the backward pass that is running.

    `ctx.needs_input_grad` says which could: the weights too, when only forces are asked for. The
    function's arguments that are no tensors come first and are not in the answer.
    """
    nodes = ctx.next_functions
    could = ctx.needs_input_grad[-len(nodes) :]
    return tuple(
        needed and node is not None and _will_run(node)
        for needed, (node, _) in zip(could, nodes, strict=True)
    )


def _will_run(node: Any) -> bool:
    """Whether a node is on the way to what is asked for; of leaves torch does not tell."""
    return "AccumulateGrad" in node.name() or torch._C._will_engine_execute_node(node)


class Constant:
    """A constant tensor, exact in float64, and its casts and copies where they were needed."""

    def __init__(self, exact: torch.Tensor) -> None:
        self._exact = exact.double().cpu()
        self._copies: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}

    def like(self, other: torch.Tensor) -> torch.Tensor:
        """The constant in the dtype and on the device of another tensor."""
        key = (other.dtype, other.device)
        if key not in self._copies:
            self._copies[key] = self._exact.to(other.device, other.dtype)
        return self._copies[key]


class _Sums(torch.autograd.Function):
    """The messages. Inputs: paths, around, Q, w by block, x by block."""

    @staticmethod
    def forward(ctx: Any, paths: Paths, around: Neighbourhoods, *tensors: torch.Tensor) -> Any:
        ctx.paths, ctx.around = paths, around
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        at = _Edges(paths, around, tensors)
        found = at.new_messages()
        for place in at:
            place.add_messages(found, place.couplings, place.products)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        saved = ctx.saved_tensors
        if all(g is None for g in gradients):
            return (None,) * (2 + len(saved))
        blank = _Edges(ctx.paths, ctx.around, saved).new_messages
        filled = gradients
        if any(g is None for g in gradients):
            filled = tuple(
                zero if g is None else g for g, zero in zip(gradients, blank(), strict=True)
            )
        found = _Gradients.apply(ctx.paths, ctx.around, wanted(ctx), *filled, *saved)
        return None, None, *found


class _Gradients(torch.autograd.Function):
    """Gradients of Σ G·m by Q, w and x. Inputs: paths, around, parts wanted, G, Q, w, x."""

    @staticmethod
    def forward(
        ctx: Any, paths: Paths, around: Neighbourhoods, parts: tuple[bool, ...], *tensors: Any
    ) -> Any:
        ctx.paths, ctx.around = paths, around
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        n = len(paths.outputs)
        at = _Edges(paths, around, tensors[n:])
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
    """Gradients of Σ tangent · (gradient of Σ G·m), by G, Q, w and x.

    m is linear in Q, w and x, so what is differentiated is its derivative along the tangents,
    Σ G · (m(Q', w, x) + m(Q, w', x) + m(Q, w, x')).
    """
    n = len(paths.outputs)
    at, along = _Edges(paths, around, saved[n:]), _Edges(paths, around, tangents)
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


Tensors = list[torch.Tensor | None]


def _added(a: Tensors, b: Tensors) -> Tensors:
    return [None if x is None or y is None else x.add_(y) for x, y in zip(a, b, strict=True)]


class _Edges:
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

    def __iter__(self) -> Iterator[_Place]:
        for group in self.around.groups:
            yield _Place(self, group)

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
    ) -> _Found:
        """Gradients by Q, w and x, where they are wanted: zero, or not filled in if all edges of
        them will be set."""
        n, paths = len(self.around.sender), self.paths
        blocks = len(paths.channels)
        couplings, weights = (
            self.like.new_empty if will_be_set else self.like.new_zeros
            for will_be_set in (couplings_set, weights_set)
        )
        return _Found(
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
class _Found:
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


class _Place:
    """The edges of one group: n receivers with n_places each, Q zero where there is no edge."""

    def __init__(self, at: _Edges, group: Group) -> None:
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
            path = torch.arange(len(own), device=w.device)[:, None]
            rows = (self.group.some_edge * len(own) + path).reshape(-1)
            found.append(w.index_select(0, rows).view(shape))
        return found

    @cached_property
    def _senders(self) -> list[torch.Tensor]:
        """Rows of the senders' x by block, [n · d1 · n_places]."""
        sender = self.at.around.sender.index_select(0, self.group.edge)
        sender = sender.view(self.n, 1, self.n_places)
        return [
            (sender * dim + torch.arange(dim, device=sender.device)[:, None]).reshape(-1)
            for dim in self.paths.components
        ]

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
            total.index_add_(0, self.group.receiver, _joined([made[k] for k in into], 2))

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
        self, found: _Found, by_products: list[torch.Tensor], sent: list[torch.Tensor]
    ) -> Tensors:
        """Gradient by w where it is wanted: that by w x times x, over the components,
        [n_paths, n, n_places, channels] by block."""
        return [
            None
            if wanted_ is None
            else (g[:, :, 0] * x[:, 0] if g.shape[2] == 1 else (g * x).sum(2))
            for wanted_, g, x in zip(found.weights, by_products, sent, strict=True)
        ]

    def set_by_weights(self, found: _Found, by_weights: Tensors) -> None:
        """Set the gradient by w. Every edge stands in one place."""
        for total, g in zip(found.weights, by_weights, strict=True):
            if total is not None and g is not None:
                rows = g.permute(1, 2, 0, 3).reshape(len(self.group.edge), -1)
                total.index_copy_(0, self.group.edge, rows)

    def set_by_couplings(
        self, found: _Found, products: list[torch.Tensor], given: list[torch.Tensor]
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
        found.couplings.index_copy_(0, self.group.edge, _joined(made, 1))

    def add_to_features(
        self, found: _Found, by_products: list[torch.Tensor], weights: list[torch.Tensor]
    ) -> None:
        """Add the gradients by x where they are wanted, that by w x times w over the paths, at the
        senders."""
        for total, rows, g, w in zip(
            found.features, self._senders, by_products, weights, strict=True
        ):
            if total is not None and len(g):
                by_sent = g[0] * w[0] if len(g) == 1 else (g * w).sum(0)
                total.index_add_(0, rows, by_sent.view(-1, total.shape[1]))


def _joined(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
