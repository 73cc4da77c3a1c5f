"""Edges by the atom that receives them, padded: sums over neighbours become matrix products.

Atoms with about as many neighbours stand in one `Neighbourhood`, so that little is padded. A place
without a neighbour has a radial basis of zero, hence messages of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: A neighbourhood holds atoms with at least this part of its largest number of neighbours …
FILLED = 0.7
#: … unless there are fewer than so many places, where one more product costs more than the padding.
SMALL = 2000


@dataclass(frozen=True)
class Neighbourhood:
    """Atoms and their neighbours.

    Attributes:
        sender: [n_atoms, n_places] neighbour of each place; any atom where there is none.
        basis: [n_atoms, n_places, basis_size] radial basis; zero where there is none.
        harmonics: by degree l, each [n_atoms, n_places, 2l + 1].
    """

    sender: torch.Tensor
    basis: torch.Tensor
    harmonics: list[torch.Tensor]


@dataclass(frozen=True)
class Neighbourhoods:
    """All atoms of a batch.

    Attributes:
        groups: atoms with neighbours, by how many.
        n_alone: atoms without, which stand after all groups.
        place: [n_atoms] where each atom stands in the groups' order.
    """

    groups: list[Neighbourhood]
    n_alone: int
    place: torch.Tensor


def neighbourhoods(
    edge_index: torch.Tensor,
    n_atoms: int,
    basis: torch.Tensor,
    harmonics: torch.Tensor,
    lmax: int,
) -> Neighbourhoods:
    """Sort the edges of a batch.

    Args:
        edge_index: [2, n_edges] sender and receiver.
        n_atoms: of the batch.
        basis: [n_edges, basis_size].
        harmonics: [n_edges, (lmax + 1)²].
        lmax: highest degree of the harmonics.
    """
    sender, receiver = edge_index
    device = sender.device
    count = torch.bincount(receiver, minlength=n_atoms)
    order = torch.argsort(count, descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(n_atoms, device=device)
    by_receiver = torch.argsort(receiver, stable=True)
    start = torch.cumsum(count, 0) - count

    sizes = [2 * degree + 1 for degree in range(lmax + 1)]
    # A last edge that is none: what places without a neighbour point to.
    sender = torch.cat([sender, sender.new_zeros(1)])
    basis = torch.cat([basis, basis.new_zeros(1, basis.shape[1])])
    harmonics = torch.cat([harmonics, harmonics.new_zeros(1, harmonics.shape[1])])
    by_degree = [part.contiguous() for part in harmonics.split(sizes, dim=1)]
    nothing = len(by_receiver)
    by_receiver = torch.cat([by_receiver, by_receiver.new_full((1,), nothing)])

    groups, first = [], 0
    for last in _bounds(count[order].tolist()):
        atoms = order[first:last]
        counts = count[atoms]
        steps = torch.arange(int(counts[0]), device=device)
        there = steps < counts[:, None]
        edges = by_receiver[torch.where(there, start[atoms][:, None] + steps, nothing)]
        flat = edges.reshape(-1)
        groups.append(
            Neighbourhood(
                sender=sender[edges],
                basis=basis.index_select(0, flat).view(*edges.shape, -1),
                harmonics=[
                    of_degree.index_select(0, flat).view(*edges.shape, -1)
                    for of_degree in by_degree
                ],
            )
        )
        first = last
    return Neighbourhoods(groups, n_atoms - first, place)


def _bounds(degrees: list[int]) -> list[int]:
    """Where each group ends in the list of degrees, which falls; zeros are in none."""
    bounds, first = [], 0
    connected = sum(d > 0 for d in degrees)
    for k in range(connected):
        large = degrees[first] * (k - first) >= SMALL
        if large and degrees[k] < FILLED * degrees[first]:
            bounds.append(k)
            first = k
    return [*bounds, connected] if connected else []
