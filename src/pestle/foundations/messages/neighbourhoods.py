"""Edges by the atom that receives them, padded: sums over neighbours become matrix products.

Atoms with about as many neighbours stand in one `Group`, so that little is padded. A place without
a neighbour points to an edge that does not exist, whose harmonics are zero, hence its messages.

Groups are bounded: what is made of an edge on the way to its message is many times larger than the
edge itself, and a group's share of it should stay in the cache of a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

#: A group holds receivers with at least this part of its largest number of neighbours …
FILLED = 0.8
#: … unless there are fewer than so many places, where one more product costs more than the padding.
SMALL = 128
#: Bytes that are made of the edges of a group, at most. On a CPU a step took, with 0.5, 1, 2, 4 and
#: 8 MB: 773, 583, 450, 409, 421 ms (medium MACE shape, float32, 64 atoms) and 172, 160, 136, 124,
#: 110 ms (pestle-seed0, float64, 48 atoms). In small groups calls cost more than the cache saves
#: (L2 0.5 MiB a core, L3 32 MiB). On a GPU the bound is one of memory.
GROUP_BYTES = {"cpu": 8_000_000, "cuda": 1_000_000_000}


@dataclass(frozen=True)
class Group:
    """Receivers with about as many neighbours.

    Attributes:
        receiver: [n] which receivers.
        edge: [n · n_places] edge of each place; the number of edges where there is none.
        some_edge: the same, and the last edge where there is none.
        sender: [n · n_places] sender of each place; any where there is none.
        n_places: neighbours of a receiver, at most.
    """

    receiver: torch.Tensor
    edge: torch.Tensor
    some_edge: torch.Tensor
    sender: torch.Tensor
    n_places: int
    _made: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict, compare=False)

    def path_rows(self, n_paths: int) -> torch.Tensor:
        """Rows of the places in a tensor with a row for each edge and path, path by path,
        [n_paths · n · n_places]; made once for a batch."""
        key = ("paths", n_paths)
        if key not in self._made:
            path = torch.arange(n_paths, device=self.edge.device)[:, None]
            self._made[key] = (self.some_edge * n_paths + path).reshape(-1)
        return self._made[key]

    def sender_rows(self, dim: int) -> torch.Tensor:
        """Rows of the senders in a tensor with a row for each atom and component, receiver by
        receiver and component by component, [n · dim · n_places]; made once for a batch."""
        key = ("senders", dim)
        if key not in self._made:
            sender = self.sender.view(len(self.receiver), 1, self.n_places)
            component = torch.arange(dim, device=sender.device)[:, None]
            self._made[key] = (sender * dim + component).reshape(-1)
        return self._made[key]


@dataclass(frozen=True)
class Neighbourhoods:
    """All receivers of a batch that have a neighbour.

    Attributes:
        groups: receivers by how many neighbours they have.
        n_edges: of the batch.
        n_receivers: with and without neighbours.
    """

    groups: tuple[Group, ...]
    n_edges: int
    n_receivers: int


def neighbourhoods(
    sender: torch.Tensor, receiver: torch.Tensor, n_receivers: int, bytes_per_edge: int
) -> Neighbourhoods:
    """Sort the edges of a batch by their receivers.

    Args:
        sender, receiver: [n_edges].
        n_receivers: of the batch.
        bytes_per_edge: that are made of an edge on the way to its message.
    """
    device = receiver.device
    limit = max(1, group_bytes(device) // bytes_per_edge)
    count = torch.bincount(receiver, minlength=n_receivers)
    order = torch.argsort(count, descending=True, stable=True)
    by_receiver = torch.argsort(receiver, stable=True)
    start = torch.cumsum(count, 0) - count
    nothing = len(by_receiver)
    by_receiver = torch.cat([by_receiver, by_receiver.new_full((1,), nothing)])

    sender = torch.cat([sender, sender.new_zeros(1)])
    groups, first = [], 0
    degrees = count[order].tolist()
    for last in bounds(degrees, limit):
        members, n_places = order[first:last], degrees[first]
        steps = torch.arange(n_places, device=device)
        there = steps < count[members][:, None]
        edge = by_receiver[torch.where(there, start[members][:, None] + steps, nothing)]
        edge = edge.reshape(-1)
        some_edge, senders = edge.clamp(max=nothing - 1), sender.index_select(0, edge)
        groups.append(Group(members, edge, some_edge, senders, n_places))
        first = last
    return Neighbourhoods(tuple(groups), nothing, n_receivers)


def group_bytes(device: torch.device) -> int:
    """Bytes that may be made at once of a part of a batch."""
    return GROUP_BYTES["cpu" if device.type == "cpu" else "cuda"]


def bounds(degrees: list[int], limit: int) -> list[int]:
    """Where each group ends in a falling list of how many places are needed; zeros are in none.

    Args:
        degrees: places that each member needs, falling.
        limit: places of a group, at most.
    """
    ends, first = [], 0
    connected = sum(d > 0 for d in degrees)
    for k in range(connected):
        large = degrees[first] * (k - first) >= SMALL
        full = degrees[first] * (k + 1 - first) > limit
        if k > first and (full or (large and degrees[k] < FILLED * degrees[first])):
            ends.append(k)
            first = k
    return [*ends, connected] if connected else []
