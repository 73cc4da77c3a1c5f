"""Graphs of the frames of a run, for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pestle.foundations.devices import DTYPES
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.jobs.finetune.preparation import Prepared
from pestle.structures.frame import Frame, evenly
from pestle.structures.graphs import GraphBatch, make_graph
from pestle.structures.reading import is_reference_atom
from pestle.training.objective import TrainingData
from pestle.training.replay import GraphsOnDemand, ReplayData

#: Number of training frames that are evaluated if there are no validation frames.
MAX_TRAIN_WATCHED = 200


def training_data(prepared: Prepared) -> TrainingData:
    """Make the graphs of a run in the network's dtype.

    Isolated atoms are repeated and weighted as the settings say. Without validation frames, some
    training frames are evaluated instead.

    Args:
        prepared: the run.
    """
    model, settings = prepared.adaptation.model, prepared.settings
    weight = settings.data.isolated_atom_weight
    atoms = [
        replace(f, weight=f.weight * weight)
        for f in prepared.splits.isolated
        if is_reference_atom(f)
    ]
    train = list(prepared.splits.train)
    if settings.data.isolated_atom_repeats:
        train += atoms * settings.data.isolated_atom_repeats

    def graphs(frames: Sequence[Frame], head: str) -> list[GraphBatch]:
        dtype, index = DTYPES[settings.train.dtype], model.head_index(head)
        return [
            make_graph(frame, model.cutoff, index=k, dtype=dtype).with_head(index)
            for k, frame in enumerate(frames)
        ]

    valid, watched = list(prepared.splits.valid), "valid"
    if settings.data.no_validation:
        valid, watched = evenly(prepared.splits.train, MAX_TRAIN_WATCHED), "train_frames"
    data = TrainingData(
        train, graphs(train, TARGET_HEAD), valid, graphs(valid, TARGET_HEAD), watched=watched
    )
    if prepared.replay is not None:
        kept, held = prepared.replay.train, prepared.replay.valid
        index = model.head_index(REPLAY_HEAD)
        on_demand = GraphsOnDemand(kept, model.cutoff, DTYPES[settings.train.dtype], index)
        data.replay = ReplayData(kept, on_demand, held, graphs(held, REPLAY_HEAD))
    # EWC is about the target head also with replay, because users will use this head.
    data.broad_graphs = graphs(prepared.ewc, TARGET_HEAD)
    return data
