"""Sort edges by the atom that receives them, so that sums over neighbours become matrix products.

Atoms with similar numbers of neighbours are put into one `Group` and padded to the same number of
neighbour slots; this keeps the padding small. An empty slot points to an extra edge whose harmonics
are zero, so its messages are zero too.

The size of a group is limited. The intermediate results of an edge are many times larger than the
edge itself, and those of one group should fit into the cache of a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

#: Smallest share of the slots of a group that a receiver must fill with its neighbours. It does not
#: apply to groups with few slots (see `SMALL`).
FILLED = 0.8
#: Number of slots below which a group takes further receivers even if they fill few of its slots:
#: another group would cost more time than the padding does.
SMALL = 128
#: Largest size in bytes of the intermediate results of a group. On a CPU with 0.5 MiB of L2 cache
#: per core and 32 MiB of L3, a training step took the following times with limits of 0.5, 1, 2, 4
#: and 8 MB: 773, 583, 450, 409, 421 ms (medium MACE shape, float32, 64 atoms) and 172, 160, 136,
#: 124, 110 ms (pestle-seed0, float64, 48 atoms). With smaller groups the additional calls cost more
#: time than the cache saves. On a GPU the limit only keeps the memory small.
GROUP_BYTES = {"cpu": 8_000_000, "cuda": 1_000_000_000}


@dataclass(frozen=True)
class Group:
    """A group holds receivers that have similar numbers of neighbours.

    Attributes:
        receiver: [n] indices of the receiving atoms.
        edge: [n · n_places] index of the edge in each slot; n_edges in an empty slot.
        some_edge: [n · n_places] the same, but the last real edge in an empty slot.
        sender: [n · n_places] index of the sending atom in each slot; any atom in an empty slot.
        n_places: number of slots of each receiver, the largest number of neighbours in the group.
    """

    receiver: torch.Tensor
    edge: torch.Tensor
    some_edge: torch.Tensor
    sender: torch.Tensor
    n_places: int
    _made: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict, compare=False)

    def path_rows(self, n_paths: int) -> torch.Tensor:
        """Return the rows of this group's slots in a tensor with one row per edge and path.

        The result is computed once for a batch and then kept.

        Args:
            n_paths: number of paths; the row of an edge and a path is edge · n_paths + path.

        Returns:
            [n_paths · n · n_places] indices, one path after another.
        """
        key = ("paths", n_paths)
        if key not in self._made:
            path = torch.arange(n_paths, device=self.edge.device)[:, None]
            self._made[key] = (self.some_edge * n_paths + path).reshape(-1)
        return self._made[key]

    def sender_rows(self, dim: int) -> torch.Tensor:
        """Return the rows of this group's senders in a tensor with one row per atom and component.

        The result is computed once for a batch and then kept.

        Args:
            dim: number of components; the row of an atom and a component is atom · dim + component.

        Returns:
            [n · dim · n_places] indices, ordered by receiver, then component, then slot.
        """
        key = ("senders", dim)
        if key not in self._made:
            sender = self.sender.view(len(self.receiver), 1, self.n_places)
            component = torch.arange(dim, device=sender.device)[:, None]
            self._made[key] = (sender * dim + component).reshape(-1)
        return self._made[key]


@dataclass(frozen=True)
class Neighbourhoods:
    """This class holds the groups of all receivers in a batch that have a neighbour.

    Attributes:
        groups: the receivers, grouped by their number of neighbours.
        n_edges: number of edges of the batch.
        n_receivers: number of atoms of the batch, including those without neighbours.
    """

    groups: tuple[Group, ...]
    n_edges: int
    n_receivers: int


def neighbourhoods(
    sender: torch.Tensor, receiver: torch.Tensor, n_receivers: int, bytes_per_edge: int
) -> Neighbourhoods:
    """Sort the edges of a batch into groups of receivers.

    Args:
        sender: [n_edges] index of the sending atom.
        receiver: [n_edges] index of the receiving atom.
        n_receivers: number of atoms of the batch.
        bytes_per_edge: memory in bytes that the intermediate results of one edge need; it limits
            the size of a group.

    Returns:
        The groups, those with the most neighbours first.
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
    """Return how many bytes the intermediate results of one group may take on a device."""
    return GROUP_BYTES["cpu" if device.type == "cpu" else "cuda"]


def bounds(degrees: list[int], limit: int) -> list[int]:
    """Return the end of each group in a list of slot counts.

    A group is closed when it would exceed `limit`, or when it has at least `SMALL` slots and the
    next member would fill less than the share `FILLED` of its slots. Members that need no slot
    belong to no group.

    Args:
        degrees: number of slots that each member needs, in descending order.
        limit: largest number of slots in a group.

    Returns:
        For each group the index just behind its last member; empty if no member needs a slot.
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
