"""Run one interaction and product of a mace network with faster arithmetic and mace's own weights.

`interact` and `update` take the place of `forward` in mace's two blocks. The features that go from
one to the other are in blocks, so both are replaced or neither. The input of the first and the
output of the second are in mace's layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pestle.foundations.mace.kernels.by_element import Elements, LinearByElement
from pestle.foundations.mace.kernels.contraction import MAX_CORRELATION, Contraction
from pestle.foundations.mace.kernels.convolution import Convolution
from pestle.foundations.mace.kernels.linear import Blocks, Linear, to_blocks, to_flat
from pestle.foundations.mace.runtime import FullyConnectedNet, Network, blocks, o3, radial
from pestle.foundations.messages.neighbourhoods import Neighbourhoods


class NotCovered(Exception):
    """This exception says that only mace's own modules can run a block; its text says why."""


@dataclass(frozen=True)
class Batch:
    """This class holds what all layers need to know about a batch.

    Attributes:
        around: the neighbours of the atoms.
        elements: the elements of the atoms.
        n_atoms: number of atoms.
    """

    around: Neighbourhoods
    elements: Elements
    n_atoms: int


#: Classes of interactions whose skip connection goes around the interaction and the product.
_RESIDUAL = (
    blocks.RealAgnosticResidualInteractionBlock,
    blocks.RealAgnosticDensityResidualInteractionBlock,
    blocks.RealAgnosticAttResidualInteractionBlock,
    blocks.RealAgnosticResidualNonLinearInteractionBlock,
)
#: Classes that divide by a learnt density and not by the mean number of neighbours.
_DENSITY = (
    blocks.RealAgnosticDensityInteractionBlock,
    blocks.RealAgnosticDensityResidualInteractionBlock,
)
_ATTENTIVE = blocks.RealAgnosticAttResidualInteractionBlock
_NONLINEAR = blocks.RealAgnosticResidualNonLinearInteractionBlock
_CLASSES = (blocks.RealAgnosticInteractionBlock, *_RESIDUAL, *_DENSITY)


class Layer:
    """This layer is an interaction and the product that follows it.

    Args:
        interaction: mace's interaction; not changed, its weights are read at every call.
        product: mace's product; not changed, its weights are read at every call.

    Raises:
        NotCovered: a part of them has a form that is not supported here.
    """

    def __init__(self, interaction: Network, product: Network) -> None:
        self._require(interaction, product)
        self.interaction, self.product = interaction, product
        kind = type(interaction)
        self.residual, self.density = kind in _RESIDUAL, kind in _DENSITY
        self.nonlinear, self.attentive = kind is _NONLINEAR, kind is _ATTENTIVE
        self.irreps_in = interaction.node_feats_irreps
        self.irreps_mid = interaction.irreps_out
        self.up = Linear(interaction.linear_up)
        skip = interaction.skip_linear if self.attentive else interaction.skip_tp
        self.skip = Linear(skip) if isinstance(skip, o3.Linear) else LinearByElement(skip)
        self.convolution = Convolution(
            interaction.conv_tp_weights,
            interaction.conv_tp,
            interaction.linear_1 if self.nonlinear else interaction.linear,
        )
        if self.nonlinear:
            self.around_messages = Linear(interaction.linear_res)
            self.after_gate = Linear(interaction.linear_2)
        self.contraction = Contraction(product.symmetric_contractions)
        self.after = Linear(product.linear)

    @staticmethod
    def _require(interaction: Network, product: Network) -> None:
        """Raise `NotCovered` if a part of the two blocks is not supported here."""
        kind = type(interaction)
        if kind not in _CLASSES:
            raise NotCovered(f"interactions of class {kind.__name__}")
        net = interaction.conv_tp_weights
        if not isinstance(net, FullyConnectedNet | radial.RadialMLP):
            raise NotCovered(f"radial networks of class {type(net).__name__}")
        for instruction in interaction.conv_tp.instructions:
            if instruction.connection_mode != "uvu" or not instruction.has_weight:
                raise NotCovered(f"paths of kind {instruction.connection_mode}")
        muls = {mul for mul, _ in interaction.irreps_out}
        if len(muls) > 1:
            raise NotCovered("messages with different numbers of channels")
        orders = [part.correlation for part in product.symmetric_contractions.contractions]
        if max(orders) > MAX_CORRELATION:
            raise NotCovered(f"products of order {max(orders)}")

    @property
    def numbers_per_edge(self) -> int:
        """Return how many intermediate numbers one edge needs."""
        return self.convolution.paths.numbers_per_edge

    def interact(
        self,
        batch: Batch,
        *,
        node_attrs: torch.Tensor,
        node_feats: torch.Tensor,
        edge_attrs: torch.Tensor,
        edge_feats: torch.Tensor,
        edge_index: torch.Tensor,
        cutoff: torch.Tensor | None = None,
        **_: Any,
    ) -> tuple[Blocks, Blocks | None]:
        """Compute the messages and the skip connection in place of the interaction's `forward`.

        Args:
            batch: neighbours and elements of the atoms.
            node_attrs: [n_atoms, n_elements] one-hot elements.
            node_feats: [n_atoms, irreps] features in mace's layout.
            edge_attrs: [n_edges, (lmax + 1)²] spherical harmonics.
            edge_feats: [n_edges, n_basis] radial basis.
            edge_index: [2, n_edges] indices of senders and receivers.
            cutoff: [n_edges, 1] cutoff function, if mace applies it to the weights of the radial
                network.

        Returns:
            The messages in blocks, either one tensor per irrep or one tensor for all of them, and
            the skip connection in blocks; `None` if it does not go around the product.
        """
        block = self.interaction
        features = to_blocks(node_feats, self.irreps_in)
        around = self._skipped(features, batch) if self.residual else None
        sent = self.up(features)
        radial_inputs = self._radial_inputs(node_attrs, node_feats, edge_feats, edge_index)
        message = self.convolution(
            sent,
            edge_attrs,
            self.convolution.hidden(radial_inputs, cutoff),
            batch.around,
        )
        scale: torch.Tensor | float = 1.0 / block.avg_num_neighbors
        if self.density or self.nonlinear:
            density = self._density(radial_inputs, cutoff, edge_index[1], batch.n_atoms)
            density = density * block.beta + block.alpha if self.nonlinear else density + 1
            scale = density.reciprocal()[:, :, None]
        if self.nonlinear:
            kept = self.around_messages(sent)
            flat = to_flat([m * scale + k for m, k in zip(message, kept, strict=True)])
            gated = block.equivariant_nonlin(flat)
            return self.after_gate(to_blocks(gated, self.irreps_mid)), around
        # All blocks have the same number of channels, so they can be joined and scaled at once.
        joined = torch.cat(message, dim=1) * scale
        if self.residual:
            return [joined], around
        by_block = joined.split([dim for dim, _ in self.convolution.linear.outputs], dim=1)
        return self._skipped(by_block, batch), around

    def update(
        self, batch: Batch, *, node_feats: Blocks, sc: Blocks | None, node_attrs: torch.Tensor
    ) -> torch.Tensor:
        """Compute the features after the product in place of the product's `forward`.

        Args:
            batch: neighbours and elements of the atoms.
            node_feats: the messages that `interact` gave.
            sc: the skip connection that `interact` gave.
            node_attrs: not used; the batch holds the elements.

        Returns:
            [n_atoms, irreps] in mace's layout.
        """
        made = self.after(self.contraction(torch.cat(node_feats, dim=1), batch.elements))
        if self.product.use_sc and sc is not None:
            made = [m + s for m, s in zip(made, sc, strict=True)]
        return to_flat(made)

    # -- parts ----------------------------------------------------------------------------------
    def _skipped(self, features: Sequence[torch.Tensor], batch: Batch) -> Blocks:
        """Apply the skip connection to features in blocks."""
        if isinstance(self.skip, Linear):
            return self.skip(features)
        return self.skip(features, batch.elements)

    def _radial_inputs(
        self,
        node_attrs: torch.Tensor,
        node_feats: torch.Tensor,
        edge_feats: torch.Tensor,
        edge_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return what the radial network reads for each edge, [n_edges, n_inputs].

        This is the radial basis; in some classes of interactions the features of both atoms follow
        it.
        """
        sender, receiver = edge_index
        if self.attentive:
            down = self.interaction.linear_down(node_feats)
            ends = down.index_select(0, sender), down.index_select(0, receiver)
        elif self.nonlinear:
            source = self.interaction.source_embedding(node_attrs)
            target = self.interaction.target_embedding(node_attrs)
            ends = source.index_select(0, sender), target.index_select(0, receiver)
        else:
            return edge_feats
        return torch.cat([edge_feats, *ends], dim=1)

    def _density(
        self,
        radial_inputs: torch.Tensor,
        cutoff: torch.Tensor | None,
        receiver: torch.Tensor,
        n_atoms: int,
    ) -> torch.Tensor:
        """Sum a learnt weight over the neighbours of every atom, [n_atoms, 1]."""
        by_edge = torch.tanh(self.interaction.density_fn(radial_inputs) ** 2)
        if cutoff is not None:
            by_edge = by_edge * cutoff
        return by_edge.new_zeros(n_atoms, 1).index_add(0, receiver, by_edge)
