"""Keepers of breadth add a term to the loss of an update, or change its gradient.

A keeper is created from the adapted model before the first update, also when a run is resumed, and
stores what it needs of this start. A checkpoint therefore contains nothing of it.
"""

from __future__ import annotations

import torch

from pestle.foundations.interface import Prediction
from pestle.structures.graphs import GraphBatch


class Keeper:
    """Keeps a model near its start during training; this base class does nothing."""

    def penalty(
        self, of_replay: Prediction | None, replay: GraphBatch | None
    ) -> torch.Tensor | None:
        """Return the term that is added to the loss of an update.

        Args:
            of_replay: the model's prediction of the replay batch.
            replay: the replay batch; `None` if the update has none.

        Returns:
            A differentiable scalar tensor, zero at the start of the training; `None` for no term.
        """
        return None

    def mask_gradients(self) -> None:
        """Change the gradients of an update before they are clipped and used."""
