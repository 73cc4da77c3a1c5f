"""Drift: the distance of a model from the foundation's predictions on broad structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.records.metrics import Drift
from pestle.structures.frame import Frame


class DriftWatch:
    """Compares a model with the foundation on structures without labels.

    Args:
        frames: the structures.
        foundation: the model before training; its predictions are the reference.
        head: head of the foundation.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        foundation: Foundation,
        head: str,
        *,
        max_edges: int | None = None,
    ) -> None:
        self.frames, self.max_edges = frames, max_edges
        self.reference = predict_frames(
            foundation, frames, head=head, max_edges=max_edges, finite=True
        )

    @property
    def forces_rms(self) -> float:
        """RMS of the foundation's force components on the structures, meV/Å."""
        forces = np.concatenate([found.forces.ravel() for found in self.reference])
        return float(1e3 * np.sqrt(np.mean(forces**2)))

    def measure(self, model: Foundation) -> dict[str, Drift]:
        """Measure the drift of each head of a model.

        Returns:
            Head → RMS difference of interaction energies (meV/atom) and forces (meV/Å).
        """
        return {head: self._head(model, head) for head in model.heads}

    def _head(self, model: Foundation, head: str) -> Drift:
        now = predict_frames(model, self.frames, head=head, max_edges=self.max_edges)
        energy = np.array(
            [
                (a.interaction_energy - b.interaction_energy) / len(a.forces)
                for a, b in zip(now, self.reference, strict=True)
            ]
        )
        forces = np.concatenate(
            [(a.forces - b.forces).ravel() for a, b in zip(now, self.reference, strict=True)]
        )
        return Drift(
            energy_rmse=float(1e3 * np.sqrt(np.mean(energy**2))),
            forces_rmse=float(1e3 * np.sqrt(np.mean(forces**2))),
        )
