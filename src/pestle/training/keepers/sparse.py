"""Sparse updates: only the weights with the largest gradients move, all others stay as they are.

    move w_i  where  m_i = 1/B Σ_b |∂L_b/∂w_i|  is among the round(f·n) largest of all n weights

with f = `keep.sparse` and L_b the target's loss on batch b of the first epoch at the start (at most
`MAX_BATCHES` of them); penalties and the replay head do not enter. As in sparse increment
fine-tuning (Song et al. 2023, arXiv:2312.11875), which takes the gradient of one batch. That 3 % of
a potential's weights can be enough is the finding of Cho et al. (2026), arXiv:2606.18691, who
choose them in another way, during training.

The gradients of the other weights are set to zero before clipping. From the first update on their
moments in AdamW are then zero, so that neither step nor average changes a bit of them. Weight decay
would, and is refused. With low-rank updates the gradient of every A is zero at the start, because B
is: there is nothing to choose by, and that is refused, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.interface import Foundation
from pestle.settings.run import RunSettings
from pestle.training.batches import BatchPlan
from pestle.training.keeper import Keeper
from pestle.training.keepers.base import summed_gradients
from pestle.training.losses import loss_weights
from pestle.training.objective import Objective, TrainingData

#: Largest number of batches for the mean gradient; more would choose almost the same weights.
MAX_BATCHES = 100


class SparseUpdates(Keeper):
    """Lets only a fraction of the weights change.

    Args:
        model: the adapted model at its start, on its device.
        trainable: names of the parameters to train.
        fraction: f.
        data: gives the batches of target frames.
        settings: settings of the run.
    """

    def __init__(
        self,
        model: Foundation,
        trainable: Sequence[str],
        fraction: float,
        data: TrainingData,
        settings: RunSettings,
    ) -> None:
        named = dict(model.named_parameters())
        self.parameters = [named[name] for name in trainable]
        train, objective = settings.train, Objective(settings, data)
        plan = BatchPlan(data.train_graphs, train.batch_size, train.max_edges, train.seed)
        weights = loss_weights(settings.loss)
        losses = (
            objective(model, batch.to(model.device), None, weights)
            for batch, _ in zip(plan.epoch(1), range(MAX_BATCHES), strict=False)
        )
        #: True for each weight that may change, in the shape of each parameter.
        self.masks = largest(summed_gradients(losses, self.parameters, torch.abs), fraction)

    def mask_gradients(self) -> None:
        """Set the gradients of all other weights to zero."""
        for parameter, mask in zip(self.parameters, self.masks, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)


def largest(sizes: Sequence[torch.Tensor], fraction: float) -> list[torch.Tensor]:
    """Mark the largest entries of several tensors together.

    Args:
        sizes: the tensors.
        fraction: fraction of all entries to mark; at least one is marked. Of equal entries the
            first ones are marked.

    Returns:
        Boolean tensors in the shapes of `sizes`.
    """
    flat = torch.cat([size.reshape(-1) for size in sizes])
    count = max(1, round(fraction * len(flat)))
    order = torch.sort(flat, descending=True, stable=True).indices
    chosen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    chosen[order[:count]] = True
    parts = chosen.split([size.numel() for size in sizes])
    return [part.view(size.shape) for part, size in zip(parts, sizes, strict=True)]
