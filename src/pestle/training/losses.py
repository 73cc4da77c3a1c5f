"""The training losses. Each term is kept as (sum, count), so that it can be added over batches.

Notation: residuals are prediction − label. A frame's weight (its `config_weight` times that of the
property) multiplies its terms linearly; a missing label has weight zero. Counts include unlabelled
frames, so that a labelled frame weighs the same whatever shares its batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import huber_loss

from pestle.foundations.interface import Prediction
from pestle.settings.run import LossSettings
from pestle.structures.graphs import GraphBatch

#: Reference force norms (eV/Å) from which mace narrows the quadratic part, and by what factor.
FORCE_BANDS = ((300.0, 0.1), (200.0, 0.4), (100.0, 0.7))


@dataclass
class Terms:
    """Weighted sums and counts of the terms of a loss; λ are not in them.

    Attributes:
        sums: `energy`, `forces`, `stress` → scalar tensor (differentiable).
        counts: the numbers these sums are divided by.
    """

    sums: dict[str, torch.Tensor]
    counts: dict[str, int]

    def loss(self, weights: Mapping[str, float]) -> torch.Tensor:
        """Σ λ · sum / count."""
        parts = [weights[k] * self.sums[k] / self.counts[k] for k in self.sums if self.counts[k]]
        return torch.stack(parts).sum()


class Loss(ABC):
    """A loss on interaction energies, forces and stress."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def terms(self, prediction: Prediction, batch: GraphBatch) -> Terms:
        """Sums and counts of the three terms over a batch.

        Args:
            prediction: of the model, differentiable.
            batch: structures with labels and weights. The label's reference sum is taken off in
                float64 before anything is rounded to the network's dtype.
        """
        target = (batch.energy - prediction.reference_energy).to(
            prediction.interaction_energy.dtype
        )
        # An unlabelled frame has no target; zero the residual, not just its weight, so that no
        # huge meaningless number meets a zero weight in the gradient.
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
        """Sum over graphs; residual [n_graphs] eV (total)."""

    @abstractmethod
    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Sum; residual [n_atoms, 3] eV/Å."""

    @abstractmethod
    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Sum; residual [n_graphs, 3, 3] eV/Å³."""

    def force_count(self, batch: GraphBatch) -> int:
        """What the force sum is divided by: force components."""
        return 3 * int(batch.ptr[-1])

    def stress_count(self, batch: GraphBatch) -> int:
        """What the stress sum is divided by: stress components."""
        return 9 * batch.n_graphs


def _huber(residual: torch.Tensor, delta: float) -> torch.Tensor:
    """Eq. 8, elementwise."""
    return huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=delta)


class UniversalLoss(Loss):
    """mace-torch's `universal` loss: Huber on per-atom energies, force components whose quadratic
    part narrows where the reference force is large, and stress components."""

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.energy_weight * _huber(residual / batch.n_atoms, self.delta)).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        norm = torch.linalg.vector_norm(batch.forces, dim=-1, keepdim=True)
        factor = torch.ones_like(norm)
        for bound, narrowed in reversed(FORCE_BANDS):
            factor = torch.where(norm >= bound, torch.full_like(factor, narrowed), factor)
        width = self.delta * factor
        # huber_loss takes one width only; Eq. 8 with a width per atom.
        size = residual.abs()
        value = torch.where(size <= width, 0.5 * residual**2, width * (size - 0.5 * width))
        return (batch.forces_weight[batch.batch, None] * value).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.stress_weight[:, None, None] * _huber(residual, self.delta)).sum()


class HuberLoss(Loss):
    """The paper's Eq. 7–11 as printed: total energies, norms of force vectors averaged within each
    configuration, Frobenius norm of the stress."""

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.energy_weight * _huber(residual, self.delta)).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        value = _huber(torch.linalg.vector_norm(residual, dim=-1), self.delta)
        return (value * (batch.forces_weight / batch.n_atoms)[batch.batch]).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        norm = torch.linalg.vector_norm(residual, dim=(-2, -1))
        return (batch.stress_weight * _huber(norm, self.delta)).sum()

    def force_count(self, batch: GraphBatch) -> int:
        return batch.n_graphs

    def stress_count(self, batch: GraphBatch) -> int:
        return batch.n_graphs


class MeanSquaredLoss(Loss):
    """Weighted squares of per-atom energies, force components and stress components (the paper's
    "stress loss", appendix B)."""

    def energy(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.energy_weight * (residual / batch.n_atoms) ** 2).sum()

    def forces(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.forces_weight[batch.batch, None] * residual**2).sum()

    def stress(self, residual: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        return (batch.stress_weight[:, None, None] * residual**2).sum()


LOSSES: dict[str, type[Loss]] = {
    "universal": UniversalLoss,
    "huber": HuberLoss,
    "mse": MeanSquaredLoss,
}


def make_loss(settings: LossSettings) -> Loss:
    """The loss of the settings."""
    return LOSSES[settings.kind](settings.huber_delta)


def loss_weights(settings: LossSettings, *, second_stage: bool = False) -> dict[str, float]:
    """λ_E, λ_F, λ_S of the training, or of its second stage."""
    if second_stage:
        return {
            "energy": settings.stage_two_energy,
            "forces": settings.stage_two_forces,
            "stress": settings.stage_two_stress,
        }
    return {"energy": settings.energy, "forces": settings.forces, "stress": settings.stress}
