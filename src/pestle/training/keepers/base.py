"""What a keeper of breadth does in an update."""

from __future__ import annotations

import torch


class Keeper:
    """Holds the trained weights near the starting model; by default it does nothing."""

    def penalty(self) -> torch.Tensor | None:
        """A term of the loss, zero at the start; `None` for keepers without one."""
        return None

    def after_step(self) -> None:
        """Called after every step of the optimiser, before the weights are averaged."""
