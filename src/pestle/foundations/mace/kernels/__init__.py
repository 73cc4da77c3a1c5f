"""The arithmetic that a mace network runs with: Pestle's, mace's own, or NVIDIA's cuEquivariance.

The network itself, its weights, state and files stay mace's own whichever is chosen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from pestle.foundations.mace.kernels.by_element import elements
from pestle.foundations.mace.kernels.layer import Batch, Layer, NotCovered
from pestle.foundations.mace.runtime import Network
from pestle.foundations.messages.neighbourhoods import neighbourhoods


class Kernels(ABC):
    """A way to run a network.

    Args:
        network: mace's; referred to, not changed.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    @abstractmethod
    def description(self) -> str:
        """What runs, as a clause."""

    @abstractmethod
    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        """The network's forward pass, without its own derivatives.

        Args:
            data: what the network reads.
            columns: [n_atoms] position of each atom's element in the network's list.
            training: whether derivatives will be differentiated again.
        """


class MaceKernels(Kernels):
    """mace's own modules."""

    @property
    def description(self) -> str:
        return "mace's own modules"

    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        return forward(self.network, data, training=training)


class PestleKernels(Kernels):
    """Pestle's arithmetic wherever it covers a layer (an interaction and its product)."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.layers: list[tuple[Network, Network, Layer]] = []
        #: Why the other layers run mace's own modules, as clauses.
        self.not_covered: list[str] = []
        blocks = zip(network.interactions, network.products, strict=True)
        for k, (interaction, product) in enumerate(blocks):
            try:
                self.layers.append((interaction, product, Layer(interaction, product)))
            except NotCovered as reason:
                self.not_covered.append(f"layer {k + 1} has {reason}")
        self._numbers = max((x.numbers_per_edge for *_, x in self.layers), default=1)

    @property
    def description(self) -> str:
        if not self.not_covered:
            return "Pestle's kernels"
        most = "Pestle's kernels; " if self.layers else ""
        return f"{most}mace's own modules where {', '.join(self.not_covered)}"

    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        with self._in_place(data, columns):
            return forward(self.network, data, training=training)

    @contextmanager
    def _in_place(self, data: dict[str, torch.Tensor], columns: torch.Tensor) -> Iterator[None]:
        """A block in which the `forward` of every covered block of the network is ours."""
        if not self.layers:
            yield
            return
        sender, receiver = data["edge_index"]
        size = self._numbers * data["positions"].element_size()
        around = neighbourhoods(sender, receiver, len(columns), size)
        batch = Batch(around, elements(columns), len(columns))
        for interaction, product, layer in self.layers:
            interaction.forward = partial(layer.interact, batch)
            product.forward = partial(layer.update, batch)
        try:
            yield
        finally:
            for interaction, product, _ in self.layers:
                del interaction.forward, product.forward


def forward(
    network: Network, data: dict[str, torch.Tensor], *, training: bool
) -> dict[str, torch.Tensor]:
    """The forward pass of a mace network, without its own derivatives."""
    if not hasattr(network, "joint_embedding"):
        return network(data, training=training, compute_force=False)
    # mace adds the joint embedding in place. Compiled linear layers with fewer elements than
    # channels return a view of a leaf there, which autograd refuses to change.
    hook = network.node_embedding.register_forward_hook(lambda _m, _i, out: out.clone())
    try:
        return network(data, training=training, compute_force=False)
    finally:
        hook.remove()


def kernels(name: str, network: Network) -> Kernels:
    """The kernels of a name that `train.kernels` takes; `auto` is Pestle's.

    Raises:
        PestleError: a package is missing, or mace cannot convert the network.
    """
    if name == "mace":
        return MaceKernels(network)
    if name == "cuequivariance":
        from pestle.foundations.mace.kernels.cueq import CueqKernels

        return CueqKernels(network)
    return PestleKernels(network)
