"""L2-SP: weights are pulled to where they started, not to zero.

Li, Grandvalet, Davoine, ICML 2018 (arXiv:1802.01483), Eq. 3: Ω(w) = α/2 ‖w − w⁰‖², here over the
trained parameters, readouts included, as all of them begin as the foundation's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.training.keepers.base import Keeper


class L2ToStart(Keeper):
    """The squared distance to the start.

    Args:
        parameters: the trained ones, at the start.
        coefficient: α.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], coefficient: float) -> None:
        self.parameters, self.coefficient = parameters, coefficient
        self.start = [p.detach().clone() for p in parameters]

    def penalty(self) -> torch.Tensor:
        pairs = zip(self.parameters, self.start, strict=True)
        return 0.5 * self.coefficient * torch.stack([((p - s) ** 2).sum() for p, s in pairs]).sum()
