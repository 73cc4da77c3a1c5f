"""Elastic weight consolidation: weights that matter to what the foundation knows are held firmly.

Kirkpatrick et al., PNAS 114, 3521 (2017), doi:10.1073/pnas.1611835114, Eq. 3: the penalty is
λ/2 Σ F_i (w_i − w⁰_i)² with the diagonal F of the Fisher information. With replay this is reEWC
(arXiv:2506.15223).

The loss on the foundation's own pseudolabels has no gradient at the foundation, so F is not taken
from it but from its definition. For energies and forces with Gaussian errors it is the mean over
structures of Σ_k λ_k (∂y_k/∂w_i)², where y_k are the energy per atom and the force components and λ
their weights in the loss. One backward pass gives an unbiased sample of it: the square of the
gradient of Σ_k √λ_k ε_k y_k with ε_k drawn from the normal distribution, because E[ε_k ε_l] = δ_kl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pestle.foundations.interface import Foundation
from pestle.progress import progress
from pestle.structures.graphs import GraphBatch
from pestle.training.keepers.base import Keeper


class ElasticWeights(Keeper):
    """The distance to the start, weighed by the Fisher information.

    Args:
        parameters: the trained ones, at the start.
        fisher: diagonal of the Fisher information, in the shapes of the parameters.
        coefficient: λ.
    """

    def __init__(
        self,
        parameters: Sequence[torch.nn.Parameter],
        fisher: Sequence[torch.Tensor],
        coefficient: float,
    ) -> None:
        self.parameters, self.fisher, self.coefficient = parameters, fisher, coefficient
        self.start = [p.detach().clone() for p in parameters]

    def penalty(self) -> torch.Tensor:
        terms = [
            (f * (p - s) ** 2).sum()
            for p, s, f in zip(self.parameters, self.start, self.fisher, strict=True)
        ]
        return 0.5 * self.coefficient * torch.stack(terms).sum()


def fisher_diagonal(
    model: Foundation,
    parameters: Sequence[torch.nn.Parameter],
    graphs: Sequence[GraphBatch],
    weights: Mapping[str, float],
    seed: int,
) -> list[torch.Tensor]:
    """Diagonal of the Fisher information of the starting model, one sample for each structure.

    Args:
        model: starting model.
        parameters: the trained ones.
        graphs: broad structures, for the head that predicts the target.
        weights: λ of energy and forces.
        seed: of ε.
    """
    generator = torch.Generator().manual_seed(seed)
    sums = [torch.zeros_like(p) for p in parameters]
    with progress("Fisher information of broad structures", len(graphs)) as bar:
        for k, graph in enumerate(graphs, start=1):
            moved = graph.to(model.device)
            said = model(moved, training=True)
            n_atoms = len(said.forces)
            noise = [
                torch.randn(shape, generator=generator, dtype=torch.float64)
                for shape in ((1,), (n_atoms, 3))
            ]
            energy, forces = (n.to(said.forces.device, said.forces.dtype) for n in noise)
            # The loss is a mean over graphs, and over the force components of a graph.
            drawn = weights["energy"] ** 0.5 * (energy * said.interaction_energy).sum() / n_atoms
            drawn = (
                drawn + (weights["forces"] / (3 * n_atoms)) ** 0.5 * (forces * said.forces).sum()
            )
            if not drawn.requires_grad:  # an atom without neighbours depends on no weight
                continue
            gradients = torch.autograd.grad(drawn, parameters, allow_unused=True)
            for total, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    total += gradient.detach() ** 2
            bar.to(k)
    return [total / max(1, len(graphs)) for total in sums]
