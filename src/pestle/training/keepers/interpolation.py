"""Weight interpolation: after training, the model is put between its start and the trained child.

    w(a) = (1 − a) w⁰ + a w¹

over all weights that were trained, with a = `keep.interpolate`. WiSE-FT: Wortsman et al. (2022),
arXiv:2109.01903, Eq. 1. Nothing is trained, and the E0s are no weights: they stay those of the run.
Along low-rank updates W⁰ + s·BA the same line is W⁰ + a·s·BA, so B is scaled by a; A, which is
random at the start, stays the child's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pestle.adaptation.low_rank import LowRankModel
from pestle.foundations.interface import Foundation

#: Coefficients among which `auto` chooses.
GRID = tuple(k / 10 for k in range(11))


class Interpolation:
    """The line between a start and its children.

    Args:
        model: the adapted model at its start; its trained weights are copied.
        trainable: names of the parameters that training moves.
    """

    def __init__(self, model: Foundation, trainable: Sequence[str]) -> None:
        named = dict(model.named_parameters())
        self.start = {name: named[name].detach().clone() for name in trainable}
        self._kept: set[str] = set()
        if isinstance(model, LowRankModel):
            adapters = {name for names in model.adapter_parameters().values() for name in names}
            self._kept = {name for name in adapters if name.rsplit(".", 2)[-2] == "A"}

    def put(self, model: Foundation, child: Mapping[str, torch.Tensor], a: float) -> None:
        """Give a model the weights w(a); at 0 and 1 they are those of start and child bit for bit.

        Args:
            model: any model with these parameters; changed in place.
            child: name → weight of the trained parameters.
            a: the coefficient.
        """
        named = dict(model.named_parameters())
        with torch.no_grad():
            for name, start in self.start.items():
                end = child[name].to(start.device)
                # torch's lerp reckons from the nearer end, so that both ends are exact.
                named[name].copy_(end if name in self._kept else torch.lerp(start, end, a))


def choose(losses: Mapping[float, float], tolerance: float) -> float:
    """The smallest coefficient whose validation loss is at most (1 + tolerance) times the lowest.

    Args:
        losses: coefficient → validation loss of the target; only coefficients that may be chosen.
        tolerance: of the loss, relative.
    """
    limit = (1 + tolerance) * min(losses.values())
    return min(a for a, loss in losses.items() if loss <= limit)
