"""Reduce a NequIP-type network to fewer elements or give it other heads.

Its predictions stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pestle.foundations.nequip.layers import Linear
from pestle.foundations.nequip.network import Network
from pestle.foundations.nequip.runtime import making
from pestle.foundations.nequip.shape import Shape


def select_elements(network: Network, columns: Sequence[int]) -> Network:
    """Return the same network for some of its elements.

    The elements enter at two places, the embedding and the first skip connection. The number of
    channels of the embedding stays the same.

    Args:
        network: the network; not changed.
        columns: indices of the elements to keep.
    """
    shape = replace(network.shape, species=len(columns))
    readers = {
        "embedding.weight": network.embedding,
        "layers.0.skip.weight": network.stack[0].skip,
    }
    mapped = {name: _rows(linear, list(columns)) for name, linear in readers.items()}
    return _loaded(shape, network, mapped)


def select_heads(network: Network, rows: Sequence[int]) -> Network:
    """Return the same body with heads that are copies of old ones.

    Args:
        network: the network; not changed.
        rows: for each new head the index of the old head to copy.
    """
    rows = list(rows)
    shape = replace(network.shape, heads=len(rows))
    readout = network.readout
    mapped = {
        "readout.weight": readout.weight.detach().view(readout.shapes[0])[:, rows].reshape(-1),
        "scale": network.scale[rows],
        "shift": network.shift[rows],
    }
    return _loaded(shape, network, mapped)


def _rows(linear: Linear, rows: list[int]) -> torch.Tensor:
    """Return the flat weight of a layer that keeps some of its scalar inputs and acts as before.

    The layer multiplies its weight by 1/√n_in. The stored numbers are changed to make up for the
    smaller n_in.
    """
    matrix = linear.weight.detach().view(linear.shapes[0])[rows]
    return (matrix * (len(rows) / linear.shapes[0][0]) ** 0.5).reshape(-1)


def _loaded(shape: Shape, network: Network, mapped: dict[str, torch.Tensor]) -> Network:
    """Make a network of this shape with the old weights, except those in `mapped`."""
    with making():
        new = Network(shape, [0.0] * shape.heads, [0.0] * shape.heads)
    new.to(network.readout.weight.device, network.readout.weight.dtype)
    new.load_state_dict({k: mapped.get(k, v) for k, v in network.state_dict().items()})
    return new
