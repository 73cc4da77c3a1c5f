"""Keepers of breadth: what holds a model near its start beside, or instead of, replay.

A new one that acts on updates is a file with a `Keeper` and two lines here; `interpolation` acts
after the training.
"""

from __future__ import annotations

from collections.abc import Sequence

from pestle.foundations.interface import Foundation
from pestle.settings.run import RunSettings
from pestle.training.keeper import Keeper
from pestle.training.keepers.distil import Distillation
from pestle.training.keepers.ewc import EWC
from pestle.training.keepers.l2sp import L2SP
from pestle.training.keepers.sparse import SparseUpdates
from pestle.training.losses import loss_weights
from pestle.training.objective import TrainingData


def make_keepers(
    model: Foundation, trainable: Sequence[str], data: TrainingData, settings: RunSettings
) -> list[Keeper]:
    """The keepers that the settings ask for.

    Args:
        model: the adapted model at its start, on its device; also in a run that is resumed.
        trainable: names of the parameters that training moves.
        data: of the run, with replay graphs for `keep.distil` and broad ones for `keep.ewc`.
        settings: of the run.
    """
    keep, made = settings.keep, list[Keeper]()
    if keep.l2sp is not None:
        made.append(L2SP(model, trainable, keep.l2sp))
    if keep.ewc is not None:
        made.append(
            EWC(
                model, trainable, keep.ewc, graphs=data.broad_graphs,
                weights=loss_weights(settings.loss), seed=settings.train.seed,
            )
        )  # fmt: skip
    if keep.distil is not None:
        if data.replay is None:
            raise ValueError("distillation needs replay structures")
        made.append(Distillation(model, keep.distil, data.replay.train_graphs))
    if keep.sparse is not None:
        made.append(SparseUpdates(model, trainable, keep.sparse, data, settings))
    return made
