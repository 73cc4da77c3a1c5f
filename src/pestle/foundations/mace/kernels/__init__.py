"""Choose the arithmetic that a mace network runs with: Pestle's, mace's own, or cuEquivariance.

The network itself, its weights, state and files stay mace's own, whichever is chosen.
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
    """Kernels are a way to run a mace network.

    Args:
        network: mace's network; it is used itself and not changed.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    @abstractmethod
    def description(self) -> str:
        """Say what runs, as a clause."""

    @abstractmethod
    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        """Run the forward pass of the network without its own derivatives.

        Args:
            data: the dictionary that the network reads.
            columns: [n_atoms] index of each atom's element in the network's list.
            training: whether derivatives will be differentiated again.

        Returns:
            The dictionary that the network gives, among others `energy` [n_graphs] eV,
            `node_energy` [n_atoms] eV and `node_feats`.
        """


class MaceKernels(Kernels):
    """These kernels are mace's own modules."""

    @property
    def description(self) -> str:
        return "mace's own modules"

    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        return forward(self.network, data, training=training)


class PestleKernels(Kernels):
    """These kernels run Pestle's arithmetic in every layer that it covers.

    A layer is an interaction and its product. Layers that are not covered run mace's own modules.

    Args:
        network: mace's network; it is used itself and not changed.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.layers: list[tuple[Network, Network, Layer]] = []
        #: Reasons, as clauses, why the other layers run mace's own modules.
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
        """Replace `forward` in every covered block of the network inside this `with` block."""
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
    """Run the forward pass of a mace network without its own derivatives.

    Args:
        network: mace's network.
        data: the dictionary that the network reads.
        training: whether derivatives will be differentiated again.

    Returns:
        The dictionary that the network gives.
    """
    if not hasattr(network, "joint_embedding"):
        return network(data, training=training, compute_force=False)
    # mace adds the joint embedding to the node embedding in place. If there are fewer elements than
    # channels, the compiled node embedding may return a view of its weight, which autograd does not
    # let anybody change. The hook gives mace a copy.
    hook = network.node_embedding.register_forward_hook(lambda _m, _i, out: out.clone())
    try:
        return network(data, training=training, compute_force=False)
    finally:
        hook.remove()


def kernels(name: str, network: Network) -> Kernels:
    """Return the kernels of a name that `train.kernels` takes.

    Args:
        name: `mace`, `cuequivariance`, `pestle` or `auto`; the last two both mean Pestle's.
        network: mace's network.

    Raises:
        PestleError: a package that the kernels need is not installed.
    """
    if name == "mace":
        return MaceKernels(network)
    if name == "cuequivariance":
        from pestle.foundations.mace.kernels.cueq import CueqKernels

        return CueqKernels(network)
    return PestleKernels(network)
