"""One interaction and product of a mace network, with its own weights and faster arithmetic.

`interact` and `update` stand for the `forward` of mace's two blocks. Between them features go by
block, so they are used together or not at all; what comes in and goes out is as mace has it.
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
    """A block that only mace's own modules can run; says why."""


@dataclass(frozen=True)
class Batch:
    """What all layers share of a batch.

    Attributes:
        around: neighbours of the atoms.
        elements: of the atoms.
        n_atoms: in the batch.
    """

    around: Neighbourhoods
    elements: Elements
    n_atoms: int


#: Classes of interactions whose skip connection goes around the interaction, to the product.
_RESIDUAL = (
    blocks.RealAgnosticResidualInteractionBlock,
    blocks.RealAgnosticDensityResidualInteractionBlock,
    blocks.RealAgnosticAttResidualInteractionBlock,
    blocks.RealAgnosticResidualNonLinearInteractionBlock,
)
#: Those that divide by a density and not by the mean number of neighbours.
_DENSITY = (
    blocks.RealAgnosticDensityInteractionBlock,
    blocks.RealAgnosticDensityResidualInteractionBlock,
)
_ATTENTIVE = blocks.RealAgnosticAttResidualInteractionBlock
_NONLINEAR = blocks.RealAgnosticResidualNonLinearInteractionBlock
_CLASSES = (blocks.RealAgnosticInteractionBlock, *_RESIDUAL, *_DENSITY)


class Layer:
    """An interaction and the product that follows it.

    Args:
        interaction, product: mace's modules; not changed, their weights read at every call.

    Raises:
        NotCovered: one of their parts has another form than those known here.
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
        """Numbers that are made of an edge."""
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
        """Messages, by block or joined, and the skip connection if it goes around the product.

        Args:
            batch: of the atoms.
            node_attrs, node_feats, edge_attrs, edge_feats, edge_index, cutoff: as mace gives them
                to its interactions.
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
        # All blocks have as many channels: one product scales them.
        joined = torch.cat(message, dim=1) * scale
        if self.residual:
            return [joined], around
        by_block = joined.split([dim for dim, _ in self.convolution.linear.outputs], dim=1)
        return self._skipped(by_block, batch), around

    def update(
        self, batch: Batch, *, node_feats: Blocks, sc: Blocks | None, node_attrs: torch.Tensor
    ) -> torch.Tensor:
        """Features after the product, [n_atoms, irreps] as mace has them.

        Args:
            batch: of the atoms.
            node_feats, sc: what `interact` gave.
            node_attrs: not read; the batch says which element an atom is.
        """
        made = self.after(self.contraction(torch.cat(node_feats, dim=1), batch.elements))
        if self.product.use_sc and sc is not None:
            made = [m + s for m, s in zip(made, sc, strict=True)]
        return to_flat(made)

    # -- parts ----------------------------------------------------------------------------------
    def _skipped(self, features: Sequence[torch.Tensor], batch: Batch) -> Blocks:
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
        """What the radial network reads of an edge: its length, and in some classes its atoms."""
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
        """[n_atoms, 1] sum over the neighbours of a learnt weight."""
        by_edge = torch.tanh(self.interaction.density_fn(radial_inputs) ** 2)
        if cutoff is not None:
            by_edge = by_edge * cutoff
        return by_edge.new_zeros(n_atoms, 1).index_add(0, receiver, by_edge)
