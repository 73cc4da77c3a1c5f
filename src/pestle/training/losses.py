"""Training losses for energies, forces and stress.

Each term is kept as a sum and a count, so that it can be added over batches. A residual is
prediction minus label. The weight of a frame (its `config_weight` times the weight of the property)
multiplies its terms; a missing label has weight zero. Counts include frames without labels, so that
a labelled frame has the same weight in every batch.

"The paper" is Tompa et al., "Fine-tuning MLIP foundation models: strategies for accuracy and
transferability" (CITATION.cff).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import huber_loss

from pestle.foundations.interface import Prediction
from pestle.settings.training import LossSettings
from pestle.structures.graphs import GraphBatch

#: Reference force norms (eV/Å) from which mace multiplies `delta` by the given factor.
FORCE_BANDS = ((300.0, 0.1), (200.0, 0.4), (100.0, 0.7))


@dataclass
class Terms:
    """Weighted sums and counts of the terms of a loss, without the loss weights λ.

    Attributes:
        sums: `energy`, `forces`, `stress` → scalar tensor (differentiable).
        counts: the number by which each sum is divided.
    """

    sums: dict[str, torch.Tensor]
    counts: dict[str, int]

    def loss(self, weights: Mapping[str, float]) -> torch.Tensor:
        """Return the loss Σ λ · sum / count.

        Args:
            weights: λ of `energy`, `forces` and `stress`.

        Returns:
            A differentiable scalar tensor.
        """
        parts = [weights[k] * self.sums[k] / self.counts[k] for k in self.sums if self.counts[k]]
        return torch.stack(parts).sum()


class Loss(ABC):
    """A loss on interaction energies, forces and stress.

    Args:
        delta: residual at which a Huber loss changes from quadratic to linear, in eV, eV/Å and
            eV/Å³.
    """

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def terms(self, prediction: Prediction, batch: GraphBatch) -> Terms:
        """Calculate the sum and count of each term for a batch.

        The reference energies are subtracted from the energy labels in float64, before anything is
        rounded to the network's dtype.

        Args:
            prediction: the model's prediction of the batch, differentiable.
            batch: structures with labels and weights.

        Returns:
            The terms of energy and forces, and of stress if the prediction contains it.
        """
        target = (batch.energy - prediction.reference_energy).to(
            prediction.interaction_energy.dtype
        )
        # A frame without energy has no target. Its residual is set to zero, not only its weight, so
        # that no large meaningless number is multiplied by zero in the gradient.
        energy = torch.where(
            batch.energy_weight != 0,
            prediction.interaction_energy - target,
            torch.zeros_like(target),
        )
        forces = prediction.forces - batch.forces
        sums = {
            "energy": self.energy(energy, batch),
            "forces": self.forces(forces, batch),
        }
        counts = {"energy": batch.n_graphs, "forces": self.force_count(batch)}
        if prediction.stress is not None:
            sums["stress"] = self.stress(prediction.stress - batch.stress, batch)
            counts["stress"] = self.stress_count(batch)
        return Terms(sums, counts)

    @abstractmethod
    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return the weighted sum of the energy term over the graphs.

        Args:
            residual: [n_graphs] eV, error of the total energy.
            batch: structures with weights.
        """

    @abstractmethod
    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return the weighted sum of the force term.

        Args:
            residual: [n_atoms, 3] eV/Å.
            batch: structures with labels and weights.
        """

    @abstractmethod
    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return the weighted sum of the stress term.

        Args:
            residual: [n_graphs, 3, 3] eV/Å³.
            batch: structures with weights.
        """

    def force_count(self, batch: GraphBatch) -> int:
        """Return the number by which the sum of the force term is divided: force components."""
        return 3 * int(batch.ptr[-1])

    def stress_count(self, batch: GraphBatch) -> int:
        """Return the number by which the sum of the stress term is divided: stress components."""
        return 9 * batch.n_graphs


def _huber(residual: torch.Tensor, delta: float) -> torch.Tensor:
    """Return the Huber loss of each element (Eq. 8)."""
    return huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=delta)


class UniversalLoss(Loss):
    """The `universal` loss of mace-torch.

    It is a Huber loss on energies per atom, force components and stress components. For atoms with
    a large reference force the quadratic range of the force term is smaller (`FORCE_BANDS`).
    """

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Huber(ΔE / n_atoms) over the graphs."""
        return (batch.energy_weight * _huber(residual / batch.n_atoms, self.delta)).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Huber(ΔF) over components; the width depends on the reference force."""
        norm = torch.linalg.vector_norm(batch.forces, dim=-1, keepdim=True)
        factor = torch.ones_like(norm)
        for bound, narrowed in reversed(FORCE_BANDS):
            factor = torch.where(norm >= bound, torch.full_like(factor, narrowed), factor)
        width = self.delta * factor
        # huber_loss accepts only one width; this is Eq. 8 with a width per atom.
        size = residual.abs()
        value = torch.where(size <= width, 0.5 * residual**2, width * (size - 0.5 * width))
        return (batch.forces_weight[batch.batch, None] * value).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Huber(Δσ) over components."""
        return (batch.stress_weight[:, None, None] * _huber(residual, self.delta)).sum()


class HuberLoss(Loss):
    """The loss of the paper's Eq. 7 to 11, as printed.

    It is a Huber loss on total energies, on norms of force errors, averaged over the atoms of a
    configuration, and on the Frobenius norm of the stress error.
    """

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Huber(ΔE) over the graphs."""
        return (batch.energy_weight * _huber(residual, self.delta)).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · mean of Huber(|ΔF|) over the atoms of each graph."""
        value = _huber(torch.linalg.vector_norm(residual, dim=-1), self.delta)
        return (value * (batch.forces_weight / batch.n_atoms)[batch.batch]).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Huber(|Δσ|) over the graphs, with the Frobenius norm."""
        norm = torch.linalg.vector_norm(residual, dim=(-2, -1))
        return (batch.stress_weight * _huber(norm, self.delta)).sum()

    def force_count(self, batch: GraphBatch) -> int:
        """Return the number of graphs, because forces are averaged within each graph."""
        return batch.n_graphs

    def stress_count(self, batch: GraphBatch) -> int:
        """Return the number of graphs."""
        return batch.n_graphs


class MeanSquaredLoss(Loss):
    """The mean squared error of energies per atom, force components and stress components.

    It is the paper's "stress loss" (appendix B).
    """

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · (ΔE / n_atoms)² over the graphs."""
        return (batch.energy_weight * (residual / batch.n_atoms) ** 2).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · ΔF² over components."""
        return (batch.forces_weight[batch.batch, None] * residual**2).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Return Σ w · Δσ² over components."""
        return (batch.stress_weight[:, None, None] * residual**2).sum()


LOSSES: dict[str, type[Loss]] = {
    "universal": UniversalLoss,
    "huber": HuberLoss,
    "mse": MeanSquaredLoss,
}


def make_loss(settings: LossSettings) -> Loss:
    """Create the loss that the settings name."""
    return LOSSES[settings.kind](settings.huber_delta)


def loss_weights(settings: LossSettings, *, second_stage: bool = False) -> dict[str, float]:
    """Return the loss weights λ of a run.

    Args:
        settings: the loss settings.
        second_stage: whether the weights of the second training stage are wanted.

    Returns:
        `energy`, `forces`, `stress` → λ.
    """
    if second_stage:
        return {
            "energy": settings.stage_two_energy,
            "forces": settings.stage_two_forces,
            "stress": settings.stage_two_stress,
        }
    return {"energy": settings.energy, "forces": settings.forces, "stress": settings.stress}
