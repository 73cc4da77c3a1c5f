"""L2-SP: a penalty on the squared distance of the weights from their start.

    Ω(w) = c/2 · Σ_i (w_i − w_i⁰)²

The sum runs over all trained weights, with c = `keep.l2sp`. Li, Grandvalet, Davoine (2018),
arXiv:1802.01483, Eq. 2; their second term is for layers without a start, which do not occur here.
The weights are the stored ones, which in e3nn's networks are of order one whatever the width of a
layer. The penalty is part of the loss, so that it contributes to the gradient in AdamW and
clipping.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.interface import Foundation, Prediction
from pestle.structures.graphs import GraphBatch
from pestle.training.keeper import Keeper
from pestle.training.keepers.base import NetworkWeights


class L2SP(Keeper):
    """The penalty of L2-SP.

    Args:
        model: the adapted model at its start.
        trainable: names of the parameters to train.
        coefficient: c.
    """

    def __init__(self, model: Foundation, trainable: Sequence[str], coefficient: float) -> None:
        self.weights, self.coefficient = NetworkWeights(model, trainable), coefficient
        self.start = self.weights.copied()

    def penalty(self, of_replay: Prediction | None, replay: GraphBatch | None) -> torch.Tensor:
        """Return c/2 · Σ (w − w⁰)²."""
        squares = [
            ((now - then) ** 2).sum()
            for now, then in zip(self.weights.now(), self.start, strict=True)
        ]
        return 0.5 * self.coefficient * torch.stack(squares).sum()
