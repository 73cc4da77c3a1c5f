"""Keepers of breadth: they keep a model near its start, together with or instead of replay.

A new keeper that acts on updates is a file with a subclass of `Keeper` and two lines in
`make_keepers`. `interpolation` acts after the training.
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
    """Create the keepers that the settings ask for.

    Args:
        model: the adapted model at its start, on its device, also when a run is resumed.
        trainable: names of the parameters to train.
        data: data of the run, with replay graphs for `keep.distil` and broad graphs for `keep.ewc`.
        settings: settings of the run.

    Raises:
        ValueError: distillation without replay structures.
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
