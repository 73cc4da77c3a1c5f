"""Weights that training changes, and sums of gradients, for several keepers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from pestle.adaptation.low_rank import LowRankModel
from pestle.foundations.interface import Foundation


class NetworkWeights:
    """The weights of the network that training changes.

    With low-rank updates these are the updated weights W + s·BA, not A and B: as B starts at zero,
    A alone has no effect, and equal networks must have the same distance from the start.

    Args:
        model: the adapted model.
        trainable: names of the parameters to train.
    """

    def __init__(self, model: Foundation, trainable: Sequence[str]) -> None:
        self.model = model
        if isinstance(model, LowRankModel):
            #: Names of the weights in a network without low-rank updates.
            self.names = list(model.updates())
            self.names += [n.removeprefix("base.") for n in trainable if n.startswith("base.")]
        else:
            self.names = list(trainable)

    def now(self) -> list[torch.Tensor]:
        """Return the current weights, differentiable, in the order of `names`."""
        if not isinstance(self.model, LowRankModel):
            named = dict(self.model.named_parameters())
            return [named[name] for name in self.names]
        updated: dict[str, torch.Tensor] = dict(self.model.base.named_parameters())
        updated |= self.model.adapted_weights()
        return [updated[name] for name in self.names]

    def copied(self) -> list[torch.Tensor]:
        """Return a copy of the current weights."""
        return [weight.detach().clone() for weight in self.now()]

    def plain_network(self) -> Foundation:
        """Return a copy of the network in which only the weights of `names` require gradients."""
        model = self.model
        plain = model.merged() if isinstance(model, LowRankModel) else model.copy()
        wanted = set(self.names)
        for name, parameter in plain.named_parameters():
            parameter.requires_grad_(name in wanted)
        return plain


def summed_gradients(
    scalars: Iterable[torch.Tensor],
    parameters: Sequence[torch.nn.Parameter],
    size: Callable[[torch.Tensor], torch.Tensor],
) -> list[torch.Tensor]:
    """Return Σ size(∂s/∂w) over scalars s for each parameter w.

    Args:
        scalars: scalars that depend on the parameters.
        parameters: the parameters.
        size: applied to each gradient before summation, e.g. the absolute value.

    Returns:
        One tensor per parameter, in its shape.
    """
    totals = [torch.zeros_like(p) for p in parameters]
    for scalar in scalars:
        gradients = torch.autograd.grad(scalar, parameters, allow_unused=True)
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total += size(gradient)
    return totals
