"""Keepers of breadth: additions to any method that hold the model near its foundation.

Each is one file with one class; `settings.KeepSettings` turns it on. A keeper is made before the
first update, from the starting model, so that a resumed run makes the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.settings import RunSettings
from pestle.structures.graphs import GraphBatch
from pestle.training.keepers.base import Keeper
from pestle.training.keepers.elastic import ElasticWeights, fisher_diagonal
from pestle.training.keepers.l2_start import L2ToStart
from pestle.training.keepers.sparse import SparseUpdates
from pestle.training.losses import loss_weights


def make_keepers(
    settings: RunSettings,
    model: Foundation,
    parameters: Sequence[torch.nn.Parameter],
    broad: Sequence[GraphBatch],
    target: Sequence[GraphBatch],
) -> list[Keeper]:
    """The keepers that the settings ask for.

    Args:
        settings: complete settings of the run.
        model: starting model.
        parameters: those that are trained.
        broad: structures that tell what the foundation must keep; needed by `keep.ewc`.
        target: training graphs; tell `keep.sparse` which weights the target needs.
    """
    keep, found = settings.keep, list[Keeper]()
    if keep.l2sp is not None:
        found.append(L2ToStart(parameters, keep.l2sp))
    if keep.ewc is not None:
        head = model.head_index(TARGET_HEAD)
        weights = loss_weights(settings.loss, 1)
        graphs = [graph.with_head(head) for graph in broad]
        fisher = fisher_diagonal(model, parameters, graphs, weights, settings.train.seed)
        found.append(ElasticWeights(parameters, fisher, keep.ewc))
    if keep.sparse is not None:
        found.append(SparseUpdates(model, parameters, target, settings, keep.sparse))
    return found


__all__ = ["Keeper", "make_keepers"]
