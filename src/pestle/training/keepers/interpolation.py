"""Weight interpolation: the final model lies between the start and the trained model.

    w(a) = (1 − a) w⁰ + a w¹

This applies to all trained weights, with a = `keep.interpolate`. WiSE-FT: Wortsman et al. (2022),
arXiv:2109.01903, Eq. 1. Nothing is trained. The E0s are not weights and stay those of the run. With
low-rank updates W⁰ + s·BA the same line is W⁰ + a·s·BA, so that B is multiplied by a. A, which is
random at the start, stays that of the trained model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pestle.adaptation.low_rank import LowRankModel
from pestle.foundations.interface import Foundation

#: Coefficients from which `auto` chooses.
GRID = tuple(k / 10 for k in range(11))


class Interpolation:
    """Interpolation between a start and the models trained from it.

    Args:
        model: the adapted model at its start; its trained weights are copied.
        trainable: names of the trained parameters.
    """

    def __init__(self, model: Foundation, trainable: Sequence[str]) -> None:
        named = dict(model.named_parameters())
        self.start = {name: named[name].detach().clone() for name in trainable}
        self._kept: set[str] = set()
        if isinstance(model, LowRankModel):
            adapters = {name for names in model.adapter_parameters().values() for name in names}
            self._kept = {name for name in adapters if name.rsplit(".", 2)[-2] == "A"}

    def put(self, model: Foundation, child: Mapping[str, torch.Tensor], a: float) -> None:
        """Give a model the weights w(a); for a = 0 and a = 1 these are exact.

        Args:
            model: a model with these parameters; changed in place.
            child: name → trained weight.
            a: the coefficient.
        """
        named = dict(model.named_parameters())
        with torch.no_grad():
            for name, start in self.start.items():
                end = child[name].to(start.device)
                # torch's lerp calculates from the nearer end, so that both ends are exact.
                named[name].copy_(end if name in self._kept else torch.lerp(start, end, a))


def choose(losses: Mapping[float, float], tolerance: float) -> float:
    """Choose the smallest coefficient with a validation loss near the lowest one.

    Args:
        losses: coefficient → validation loss of the target, for the allowed coefficients.
        tolerance: largest relative increase of the loss.
    """
    limit = (1 + tolerance) * min(losses.values())
    return min(a for a, loss in losses.items() if loss <= limit)
