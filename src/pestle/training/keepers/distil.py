"""Distillation: on replay structures, every atom keeps the energy that the foundation gives it.

    Ω = c · 1/n Σ_a (e_a − e_a⁰)²

The sum runs over the n atoms in the replay batch of an update, with c = `keep.distil` (1/eV²). e_a
is the contribution of atom a to the interaction energy from the replay head, and e_a⁰ that of the
foundation. Hinton, Vinyals, Dean (2015), arXiv:1503.02531; with atomic energies as targets for
interatomic potentials: Matin et al. (2025), arXiv:2502.05379. A structure has one energy but as
many contributions as atoms, and the forward pass of the replay loss gives them at no further cost.

The foundation's contributions are predicted by a copy of the start, one structure at a time, when a
structure is first drawn. The numbers are then independent of the other structures of the batch, as
a resumed run needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.interface import Foundation, Prediction
from pestle.structures.graphs import GraphBatch
from pestle.training.keeper import Keeper


class Distillation(Keeper):
    """The penalty of distillation.

    Args:
        model: the adapted model at its start; its replay head equals the foundation.
        coefficient: c in 1/eV².
        graphs: the replay graphs; `GraphBatch.frame` of a batch is an index into them.
    """

    def __init__(self, model: Foundation, coefficient: float, graphs: Sequence[GraphBatch]) -> None:
        self.teacher, self.coefficient, self.graphs = model.copy(), coefficient, graphs
        self.teacher.requires_grad_(False)
        self.head = int(graphs[0].head[0])
        self._shares: dict[int, torch.Tensor] = {}

    def penalty(
        self, of_replay: Prediction | None, replay: GraphBatch | None
    ) -> torch.Tensor | None:
        """Return c · mean (e − e⁰)² over the atoms; `None` without a replay batch."""
        if of_replay is None or replay is None:
            return None
        wanted = torch.cat([self._taught(k) for k in replay.frame.tolist()])
        # Structures predicted by the target head have other E0s and other atomic energies.
        own = (replay.head == self.head)[replay.batch]
        squares = (of_replay.node_energies - wanted)[own] ** 2
        return self.coefficient * squares.sum() / max(1, len(squares))

    def _taught(self, index: int) -> torch.Tensor:
        """Return the foundation's energies of the atoms of one structure, [n_atoms] eV."""
        if index not in self._shares:
            graph = self.graphs[index].to(self.teacher.device)
            self._shares[index] = self.teacher(graph).node_energies
        return self._shares[index]
