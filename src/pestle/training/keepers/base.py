"""What several keepers need: the weights that training moves, and sums of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from pestle.adaptation.low_rank import LowRankModel
from pestle.foundations.interface import Foundation


class NetworkWeights:
    """The weights of the network that a training moves, whatever stands for them.

    With low-rank updates these are the updated weights W + s·BA, not A and B: A alone changes
    nothing (B starts at zero), and equal networks must be equally far from the start.

    Args:
        model: the adapted model.
        trainable: names of the parameters that training moves.
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
        """The weights as they are, differentiable, in the order of `names`."""
        if not isinstance(self.model, LowRankModel):
            named = dict(self.model.named_parameters())
            return [named[name] for name in self.names]
        updated: dict[str, torch.Tensor] = dict(self.model.base.named_parameters())
        updated |= self.model.adapted_weights()
        return [updated[name] for name in self.names]

    def copied(self) -> list[torch.Tensor]:
        """A copy of the weights as they are."""
        return [weight.detach().clone() for weight in self.now()]

    def plain_network(self) -> Foundation:
        """A copy of the network in which exactly the weights of `names` require gradients."""
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
    """Σ size(∂s/∂w) of every parameter over some scalars s, in the parameters' shapes."""
    totals = [torch.zeros_like(p) for p in parameters]
    for scalar in scalars:
        gradients = torch.autograd.grad(scalar, parameters, allow_unused=True)
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total += size(gradient)
    return totals
