"""Sparse updates: only the weights that the target needs most are moved.

A share of the trained weights is chosen before training, those with the largest mean |gradient| of
the target's loss at the starting model, over all layers together; all others stay bit for bit. The
choice by gradient magnitude is that of Zhang et al., "Gradient-based parameter selection for
efficient fine-tuning", CVPR 2024 (arXiv:2312.10136), there for each neuron, here over the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.interface import Foundation
from pestle.settings import RunSettings
from pestle.structures.graphs import GraphBatch
from pestle.training.keepers.base import Keeper
from pestle.training.losses import loss_weights, make_loss

#: Target frames that the gradients are averaged over at most.
FRAMES = 50


class SparseUpdates(Keeper):
    """Puts all but the chosen weights back after each step.

    Args:
        model: starting model.
        parameters: the trained ones.
        target: training graphs.
        settings: complete settings.
        share: of the weights to move.
    """

    def __init__(
        self,
        model: Foundation,
        parameters: Sequence[torch.nn.Parameter],
        target: Sequence[GraphBatch],
        settings: RunSettings,
        share: float,
    ) -> None:
        self.parameters = parameters
        self.start = [p.detach().clone() for p in parameters]
        sizes = _mean_gradients(model, parameters, target[:FRAMES], settings)
        flat = torch.cat([size.flatten() for size in sizes])
        count = max(1, round(share * flat.numel()))
        moving = torch.zeros_like(flat, dtype=torch.bool)
        moving[torch.topk(flat, count).indices] = True
        parts = moving.split([p.numel() for p in parameters])
        self.fixed = [~m.view_as(p) for m, p in zip(parts, parameters, strict=True)]

    def after_step(self) -> None:
        with torch.no_grad():
            for parameter, start, fixed in zip(
                self.parameters, self.start, self.fixed, strict=True
            ):
                parameter[fixed] = start[fixed]


def _mean_gradients(
    model: Foundation,
    parameters: Sequence[torch.nn.Parameter],
    graphs: Sequence[GraphBatch],
    settings: RunSettings,
) -> list[torch.Tensor]:
    """Mean |gradient| of the loss of single frames."""
    loss, weights = make_loss(settings.loss), loss_weights(settings.loss, 1)
    sums = [torch.zeros_like(p) for p in parameters]
    for graph in graphs:
        moved = graph.to(model.device)
        said = model(moved, training=True, stress=moved.has_stress)
        value = loss.terms(said, moved).loss(weights)
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient.detach().abs()
    return [total / max(1, len(graphs)) for total in sums]
