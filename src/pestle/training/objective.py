"""The function that a run minimises: the loss of the target head, plus that of a replay head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import (
    FramePrediction,
    batches_by_edges,
    fits_prediction,
    per_frame,
)
from pestle.metrics import frame_errors
from pestle.records.metrics import EvaluatedErrors
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate
from pestle.training.keeper import Keeper
from pestle.training.losses import make_loss
from pestle.training.replay import ReplayData


@dataclass
class TrainingData:
    """The graphs of a run in the network's dtype, and the frames they were made from.

    Attributes:
        train_frames, train_graphs: for training.
        valid_frames, valid_graphs: for evaluation.
        replay: structures of the replay head; `None` for methods without one.
        broad_graphs: structures with the target head on which `keep.ewc` evaluates the foundation.
        watched: what the `valid_frames` are: `valid`, or `train_frames` in a run without
            validation, which is evaluated on training frames.
    """

    train_frames: Sequence[Frame]
    train_graphs: Sequence[GraphBatch]
    valid_frames: Sequence[Frame]
    valid_graphs: Sequence[GraphBatch]
    replay: ReplayData | None = None
    broad_graphs: Sequence[GraphBatch] = ()
    watched: str = "valid"


class Objective:
    """The loss of a run.

    Args:
        settings: complete settings of the run.
        data: graphs of the run. Stress is calculated only if they have stress labels, because it
            needs a second gradient.
        keepers: add their penalties to the loss of an update.
    """

    def __init__(
        self, settings: RunSettings, data: TrainingData, keepers: Sequence[Keeper] = ()
    ) -> None:
        self.loss, self.keepers = make_loss(settings.loss), keepers
        self.max_edges = settings.train.eval_batch_edges
        replay = settings.replay
        #: λ of the replay head (Eq. 4).
        self.replay_weights = {
            "energy": replay.energy or 0.0,
            "forces": replay.forces or 0.0,
            "stress": replay.stress or 0.0,
        }
        self.stress = any(g.has_stress for g in data.train_graphs)
        self.replay_stress = data.replay is not None and any(
            f.stress is not None and f.weight * f.stress_weight > 0
            for f in data.replay.train_frames
        )

    def __call__(
        self,
        model: Foundation,
        target: GraphBatch | None,
        replay: GraphBatch | None,
        weights: Mapping[str, float],
        *,
        joint: bool = False,
        penalties: bool = True,
    ) -> torch.Tensor:
        """Calculate the loss of an update.

        Args:
            model: predicts both batches in one pass.
            target: target graphs; `None` if there are none in this update.
            replay: replay graphs; `None` if there are none in this update.
            weights: λ of the target head.
            joint: whether the loss is the mean over all graphs, as in mace-torch; otherwise it is
                the mean over the target graphs plus the mean over the replay graphs (Eq. 3).
            penalties: whether the penalties of the keepers are included.

        Returns:
            A differentiable scalar tensor.
        """
        parts = [
            (b, w) for b, w in ((target, weights), (replay, self.replay_weights)) if b is not None
        ]
        batches = [batch for batch, _ in parts]
        stress = self.stress or (replay is not None and self.replay_stress)
        prediction = model(
            batches[0] if len(batches) == 1 else collate(batches), training=True, stress=stress
        )
        said = [prediction] if len(batches) == 1 else prediction.split(batches)
        terms = [self.loss.terms(p, batch) for p, batch in zip(said, batches, strict=True)]
        if joint:
            counts = {name: sum(t.counts[name] for t in terms) for name in terms[0].counts}
            terms = [replace(t, counts=counts) for t in terms]
        losses = [t.loss(w) for t, (_, w) in zip(terms, parts, strict=True)]
        loss = losses[0] if len(losses) == 1 else losses[0] + losses[1]
        of_replay = said[-1] if replay is not None else None
        for keeper in self.keepers if penalties else ():
            penalty = keeper.penalty(of_replay, replay)
            if penalty is not None:
                loss = loss + penalty
        return loss

    def evaluate(
        self,
        model: Foundation,
        frames: Sequence[Frame],
        graphs: Sequence[GraphBatch],
        weights: Mapping[str, float],
    ) -> EvaluatedErrors:
        """Calculate the errors and the loss of labelled frames.

        Args:
            model: the model.
            frames: the structures.
            graphs: their graphs, in the same order.
            weights: λ of `energy`, `forces` and `stress`.

        Returns:
            The errors in meV/atom, meV/Å and meV/Å³, and the loss.

        Raises:
            OutOfMemory: a batch does not fit into memory.
        """
        predictions: list[FramePrediction] = []
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        stress = any(g.has_stress for g in graphs)
        max_edges = self.max_edges or model.edges_at_once
        for joined in batches_by_edges(graphs, max_edges):
            with fits_prediction(joined, frames, model.device, max_edges):
                batch = joined.to(model.device)
                prediction = model(batch, stress=stress)
                with torch.no_grad():
                    terms = self.loss.terms(prediction, batch)
                for name, value in terms.sums.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
                    counts[name] = counts.get(name, 0) + terms.counts[name]
                predictions += per_frame(batch, prediction)
        loss = sum(weights[k] * sums[k] / counts[k] for k in sums)
        found = frame_errors(frames, predictions)
        return EvaluatedErrors(**found.model_dump(), loss=loss)
