"""What a keeper of breadth is: it adds a term to the loss of an update, or masks its gradient.

A keeper is made from the adapted model before its first update, also when a run is resumed, and
remembers of the start what it needs. So a checkpoint holds nothing of it.
"""

from __future__ import annotations

import torch

from pestle.foundations.interface import Prediction
from pestle.structures.graphs import GraphBatch


class Keeper:
    """Keeps a training model near its start; by default it does nothing."""

    def penalty(
        self, of_replay: Prediction | None, replay: GraphBatch | None
    ) -> torch.Tensor | None:
        """What an update adds to the loss: a differentiable scalar, zero at the start.

        Args:
            of_replay: what the training model says of the replay batch.
            replay: that batch; `None` where no replay joins the update.
        """
        return None

    def mask_gradients(self) -> None:
        """Change the gradients of an update before they are clipped and used."""
