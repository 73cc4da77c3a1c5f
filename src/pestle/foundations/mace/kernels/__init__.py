"""Faster arithmetic for mace networks: the same weights, the same numbers up to rounding.

The network itself, its state and its files stay mace's own. While it runs, the `forward` of each
interaction and product that is covered here is replaced by one of `layer.Layer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from pestle.foundations.mace.kernels.layer import Batch, Layer, NotCovered
from pestle.foundations.mace.kernels.linear import elements
from pestle.foundations.mace.runtime import Network
from pestle.foundations.neighbourhoods import neighbourhoods


class Kernels:
    """The layers of a network that run faster.

    Args:
        network: mace's; referred to, not changed.
        enabled: whether they do; otherwise all of them run mace's own modules.
    """

    def __init__(self, network: Network, *, enabled: bool = True) -> None:
        self.layers: list[tuple[Network, Network, Layer]] = []
        #: Why the other layers run mace's own modules, as clauses.
        self.not_covered: list[str] = []
        blocks = zip(network.interactions, network.products, strict=True)
        for k, (interaction, product) in enumerate(blocks if enabled else ()):
            try:
                self.layers.append((interaction, product, Layer(interaction, product)))
            except NotCovered as reason:
                self.not_covered.append(f"layer {k + 1} has {reason}")
        self._numbers = max((x.numbers_per_edge for *_, x in self.layers), default=1)

    @contextmanager
    def running(self, columns: torch.Tensor, edge_index: torch.Tensor) -> Iterator[None]:
        """A block in which the network runs faster.

        Args:
            columns: [n_atoms] position of each atom's element in the network's list.
            edge_index: [2, n_edges] sender and receiver.
        """
        if not self.layers:
            yield
            return
        sender, receiver = edge_index
        n_atoms = len(columns)
        dtype = next(self.layers[0][0].parameters()).dtype
        around = neighbourhoods(sender, receiver, n_atoms, self._numbers * dtype.itemsize)
        batch = Batch(around, elements(columns), n_atoms)
        for interaction, product, layer in self.layers:
            interaction.forward = partial(layer.interact, batch)
            product.forward = partial(layer.update, batch)
        try:
            yield
        finally:
            for interaction, product, _ in self.layers:
                del interaction.forward, product.forward
