"""Evaluation of a run: errors, the one by which the best model is chosen, and the drift limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.records.metrics import Drift, EvaluatedErrors, MetricsLine
from pestle.records.parts import Convergence
from pestle.settings.run import RunSettings
from pestle.training.convergence import convergence
from pestle.training.drift import DriftWatch
from pestle.training.failures import TrainingFailed
from pestle.training.objective import Objective, TrainingData


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model at one point of the training.

    Attributes:
        watched: errors of the target head on the watched frames (see `TrainingData`).
        replay: errors of the replay head on the held-out replay structures; `None` without a replay
            head.
        drift: head → distance from the foundation; `None` if it is not measured.
    """

    watched: EvaluatedErrors
    replay: EvaluatedErrors | None = None
    drift: dict[str, Drift] | None = None


class Evaluator:
    """Evaluates models of a run, and judges the errors by its settings.

    Args:
        settings: complete settings of the run.
        data: the frames to evaluate, and their graphs.
        objective: the loss of the run.
        drift: measures the distance of the model from the foundation; `None` to skip this.
    """

    def __init__(
        self,
        settings: RunSettings,
        data: TrainingData,
        objective: Objective,
        drift: DriftWatch | None,
    ) -> None:
        self.settings, self.data, self.objective, self.drift = settings, data, objective, drift

    def evaluate(self, model: Foundation, weights: Mapping[str, float]) -> Evaluation:
        """Calculate the errors of a model.

        Args:
            model: the model, on the device of the run.
            weights: λ of the target head.
        """
        data, replay = self.data, None
        watched = self.objective.evaluate(model, data.valid_frames, data.valid_graphs, weights)
        if data.replay is not None:
            replay = self.objective.evaluate(
                model,
                data.replay.valid_frames,
                data.replay.valid_graphs,
                self.objective.replay_weights,
            )
        drift = self.drift.measure(model) if self.drift is not None else None
        return Evaluation(watched, replay, drift)

    def chosen_by(self, figures: Evaluation | MetricsLine) -> float | None:
        """Return the error by which the best model is chosen; `None` if it is unknown."""
        train = self.settings.train
        errors = figures.replay if train.best_head == REPLAY_HEAD else figures.watched
        assert errors is not None
        return errors.of("loss" if self.settings.data.no_validation else train.best_metric)

    def within_drift(self, figures: Evaluation | MetricsLine) -> bool:
        """Whether the drift of the target head is within `train.max_drift`."""
        limit = self.settings.train.max_drift
        if limit is None:
            return True
        assert figures.drift is not None
        moved = figures.drift[TARGET_HEAD].forces_rmse
        return moved is not None and moved <= limit

    def cannot_start(
        self, model: Foundation, weights: Mapping[str, float], value: float | None
    ) -> TrainingFailed:
        """Return the exception for a starting model without finite errors.

        Args:
            model: the starting model.
            weights: λ of the target head.
            value: the error by which the best model would be chosen.
        """
        train, data, frames = self.settings.train, self.data, self.data.valid_frames
        graphs = data.valid_graphs
        if train.best_head == REPLAY_HEAD and data.replay is not None:
            frames, graphs = data.replay.valid_frames, data.replay.valid_graphs
            weights = self.objective.replay_weights
        guilty = []
        for frame, graph in zip(frames, graphs, strict=True):
            single = replace(graph, frame=torch.zeros_like(graph.frame))
            alone = self.objective.evaluate(model, [frame], [single], weights)
            if alone.loss is None or not math.isfinite(alone.loss):
                guilty.append(frame.where)
        more = f" and {len(guilty) - 3} more" if len(guilty) > 3 else ""
        named = f", because of {', '.join(guilty[:3])}{more}" if guilty else ""
        no_validation = self.settings.data.no_validation
        return TrainingFailed(
            f"{'loss' if no_validation else train.best_metric} of the "
            f"{'training' if no_validation else 'validation'} frames of head {train.best_head} is "
            f"{value} before the first update{named}",
            where="training",
            fix="The starting model cannot predict these frames; look at them.",
        )

    def convergence(self, lines: Sequence[MetricsLine], second_stage: int) -> Convergence | None:
        """Judge from logged evaluations whether the model still improved when training ended.

        Args:
            lines: the evaluations.
            second_stage: update at which the second stage of the loss began; negative without one.

        Returns:
            The judgement; `None` without validation frames, because training errors cannot tell.
        """
        train = self.settings.train
        if self.settings.data.no_validation:
            return None
        values = []
        for line in lines:
            value = self.chosen_by(line)
            # Values that are not finite are null in the file.
            usable = value is not None and self.within_drift(line)
            values.append((line.step, value if usable and value is not None else math.inf))
        # Losses of another stage are not compared.
        own = [pair for pair in values if pair[0] > second_stage]
        return convergence(own or values, min(train.plateau, train.patience), train.min_improvement)
