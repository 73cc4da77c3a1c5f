"""Fewer elements or other heads for a NequIP-type network, with predictions unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pestle.foundations.nequip.network import Linear, Network, Shape
from pestle.foundations.nequip.runtime import making


def select_elements(network: Network, columns: Sequence[int]) -> Network:
    """The same network for the elements at these positions only.

    The species stand before the embedding and before the first skip connection; the channels that
    they are embedded in stay.
    """
    shape = replace(network.shape, species=len(columns))
    readers = {
        "embedding.weight": network.embedding,
        "layers.0.skip.weight": network.stack[0].skip,
    }
    mapped = {name: _rows(linear, list(columns)) for name, linear in readers.items()}
    return _loaded(shape, network, mapped)


def select_heads(network: Network, rows: Sequence[int]) -> Network:
    """The same body with heads that are copies of the old ones at these positions."""
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
    """Flat weight of a layer on scalars with fewer inputs, such that it acts as before: what is
    stored is multiplied by 1/√n_in."""
    matrix = linear.weight.detach().view(linear.shapes[0])[rows]
    return (matrix * (len(rows) / linear.shapes[0][0]) ** 0.5).reshape(-1)


def _loaded(shape: Shape, network: Network, mapped: dict[str, torch.Tensor]) -> Network:
    with making():
        new = Network(shape, [0.0] * shape.heads, [0.0] * shape.heads)
    new.to(network.readout.weight.device, network.readout.weight.dtype)
    new.load_state_dict({k: mapped.get(k, v) for k, v in network.state_dict().items()})
    return new
