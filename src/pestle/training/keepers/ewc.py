"""Elastic weight consolidation: weights that the foundation's own predictions hang on are held.

    Ω(w) = c/2 · Σ_i F_i (w_i − w_i⁰)²

with c = `keep.ewc`. Kirkpatrick et al. (2017), doi:10.1073/pnas.1611835114, Eq. 3. Together with
replay it is reEWC, arXiv:2506.15223. Of two heads the target's is asked, which at the start is the
foundation, too: the replay head is held by replay, and the target head is what will be used.

F is the diagonal of the Fisher information of the foundation on broad structures. The gradient of
a loss on the foundation's own pseudolabels is exactly zero at the foundation, so its square tells
nothing; the Fisher information does not need that gradient. A squared loss is the logarithm of a
normal distribution around the prediction, and of that the diagonal is

    F_i = ⟨ λ_E (∂(E/N)/∂w_i)² + λ_F/(3N) Σ_k (∂f_k/∂w_i)² ⟩

averaged over structures, with E the interaction energy, N the number of atoms, f_k the 3N force
components. λ_E and λ_F are the target's loss weights. Where residuals are within the quadratic part
of the loss (½ r²), Ω with c = 1 is therefore the loss of a replay head with these weights, to
second order and without the products of two weights' shifts: the Gauss-Newton matrix, which for a
squared loss equals the Fisher matrix, reduced to its diagonal. Stress is left out.

The sum over k is not written out (one backward pass for each force component) but drawn: labels
are sampled from that distribution, prediction + ε with random signs ε = ±1 in units of each
output's width, and the gradient of the loss on them is squared. Its mean over ε is F_i, and it is
never negative. Signs have the mean and variance of normal noise, which is all that enters, and
scatter less. It is the Fisher information by the model's own distribution, not the "empirical" one
of gradients on given labels (Kunstner, Hennig, Balles 2019, arXiv:1905.12558).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from pestle.foundations.interface import Foundation, Prediction
from pestle.progress import progress
from pestle.structures.graphs import GraphBatch
from pestle.training.keeper import Keeper
from pestle.training.keepers.base import NetworkWeights, summed_gradients

#: Makes the random signs different from the other random numbers of a run.
_STREAM = 2


class EWC(Keeper):
    """The penalty of elastic weight consolidation.

    Args:
        model: the adapted model at its start, on its device.
        trainable: names of the parameters to train.
        coefficient: c.
        graphs: broad structures with the target head, one structure in each graph.
        weights: λ of `energy` and `forces`.
        seed: seed of the random signs.
    """

    def __init__(
        self,
        model: Foundation,
        trainable: Sequence[str],
        coefficient: float,
        *,
        graphs: Sequence[GraphBatch],
        weights: Mapping[str, float],
        seed: int,
    ) -> None:
        self.weights, self.coefficient = NetworkWeights(model, trainable), coefficient
        self.start = self.weights.copied()
        self.fisher = fisher_diagonal(
            self.weights.plain_network(), self.weights.names, graphs, weights, seed
        )

    def penalty(self, of_replay: Prediction | None, replay: GraphBatch | None) -> torch.Tensor:
        """Return c/2 · Σ F (w − w⁰)²."""
        terms = [
            (importance * (now - then) ** 2).sum()
            for importance, now, then in zip(
                self.fisher, self.weights.now(), self.start, strict=True
            )
        ]
        return 0.5 * self.coefficient * torch.stack(terms).sum()


def fisher_diagonal(
    network: Foundation,
    names: Sequence[str],
    graphs: Sequence[GraphBatch],
    weights: Mapping[str, float],
    seed: int,
) -> list[torch.Tensor]:
    """Return the diagonal F of the Fisher information of chosen weights.

    Args:
        network: the network; the weights require gradients.
        names: names of the weights.
        graphs: one structure in each graph.
        weights: λ of `energy` and `forces`.
        seed: seed of the random signs, which depend only on it and on the index of the structure.

    Returns:
        One tensor per weight, in its shape.

    Raises:
        ValueError: there are no structures.
    """
    if not graphs:
        raise ValueError("the Fisher information needs structures")
    named = dict(network.named_parameters())
    parameters = [named[name] for name in names]

    def scores() -> Iterator[torch.Tensor]:
        with progress("measuring which weights the foundation needs", len(graphs)) as bar:
            for k, graph in enumerate(graphs):
                prediction = network(graph.to(parameters[0].device), training=True)
                scaled = _outputs(prediction, weights)
                generator = np.random.default_rng([seed, _STREAM, k])
                signs = generator.integers(0, 2, len(scaled)) * 2 - 1
                yield scaled @ torch.as_tensor(signs, dtype=scaled.dtype, device=scaled.device)
                bar.to(k + 1)

    totals = summed_gradients(scores(), parameters, torch.square)
    return [total / len(graphs) for total in totals]


def _outputs(prediction: Prediction, weights: Mapping[str, float]) -> torch.Tensor:
    """Return the outputs of one structure divided by their widths, [1 + 3N].

    The squared difference of two such outputs is then λ · residual².
    """
    n_atoms = len(prediction.forces)
    energy = prediction.interaction_energy * (weights["energy"] ** 0.5 / n_atoms)
    forces = prediction.forces.reshape(-1) * (weights["forces"] / (3 * n_atoms)) ** 0.5
    return torch.cat([energy, forces])
