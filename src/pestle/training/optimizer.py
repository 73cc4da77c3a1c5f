"""Optimiser, learning-rate schedule and weight average of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch_ema import ExponentialMovingAverage

from pestle.settings.run import TrainSettings
from pestle.training.budget import Budget

#: Rate at the end of a cosine schedule, as a share of the first.
COSINE_FLOOR = 0.01


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], settings: TrainSettings
) -> torch.optim.AdamW:
    """AdamW with the paper's default momenta (β = 0.9, 0.999; appendix A.4).

    Fused: one pass over every weight instead of a dozen. It rounds in another order than torch's
    plain loop: the same to about 1e-16 of a weight at each update.
    """
    return torch.optim.AdamW(
        parameters,
        lr=settings.rate,
        betas=(0.9, 0.999),
        weight_decay=settings.weight_decay,
        amsgrad=settings.amsgrad,
        fused=True,
    )


def make_average(
    parameters: Iterable[torch.nn.Parameter], settings: TrainSettings
) -> ExponentialMovingAverage:
    """Moving average of the weights with decay min(d, (1+n)/(10+n)) at the n-th update: without
    that warm-up a 0.9999 average is still mostly foundation after a thousand steps."""
    assert settings.ema_decay is not None
    return ExponentialMovingAverage(parameters, decay=settings.ema_decay, use_num_updates=True)


@dataclass
class Schedule:
    """Learning rate as a plain function of the step: base rate × warm-up × shape × plateaus.

    Written out rather than chained from torch's schedulers, whose plateau and step-wise parts
    overwrite one another's rate and keep state that depends on how often they were called.

    Attributes:
        settings: of the run.
        budget: of the run.
        second_rate: learning rate of a second stage, if it has one of its own.
        second_stage: whether that has begun.
        reduced: product of the plateau reductions so far.
        best, waited: state of the plateau search: the value that must be improved on, and the
            evaluations that did not.
        another_rate: whether a checkpoint was loaded that had another learning rate.
    """

    settings: TrainSettings
    budget: Budget
    second_rate: float | None = None
    second_stage: bool = False
    reduced: float = 1.0
    best: float = math.inf
    waited: int = 0
    another_rate: bool = False

    def rate(self, step: int) -> float:
        """Learning rate of the update that follows `step` updates."""
        settings = self.settings
        base = settings.rate
        if self.second_stage and self.second_rate is not None:
            base = self.second_rate
        warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        shape = 1.0
        if settings.schedule == "cosine":
            done = min(1.0, step / max(1, self.budget.updates))
            shape = COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + math.cos(math.pi * done))
        elif settings.schedule == "exponential":
            steps_down = step / (settings.plateau * self.budget.per_epoch)
            shape = settings.schedule_factor**steps_down
        return base * warm * shape * self.reduced

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Give the optimiser the rate of its next update; returns it."""
        rate = self.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        return rate

    def evaluated(self, metric: float) -> None:
        """After every regular evaluation, with the figure to be lowered: plateaus are counted.

        A value counts as better if it lies `min_improvement` below the last that did, so that a
        plateau is a stretch of `schedule_patience` evaluations that together gain less than that.
        """
        if self.settings.schedule != "plateau":
            return
        if metric < self.best * (1 - self.settings.min_improvement):
            self.best, self.waited = metric, 0
            return
        self.waited += 1
        if self.waited >= self.settings.plateau:
            self.reduced *= self.settings.schedule_factor
            self.waited = 0

    @property
    def ended(self) -> bool:
        """Whether plateaus have lowered the rate so far that nothing more can be learned."""
        return self.reduced < self.settings.schedule_floor

    def restart(self) -> None:
        """Forget the plateaus: another rate or another loss begins."""
        self.reduced, self.best, self.waited = 1.0, math.inf, 0

    def state_dict(self) -> dict[str, float]:
        return {
            "second_stage": self.second_stage,
            "reduced": self.reduced,
            "best": self.best,
            "waited": self.waited,
            "lr": self.settings.rate,
        }

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint; with another learning rate than it had, the plateaus restart."""
        self.second_stage = bool(state.get("second_stage", False))
        self.reduced, self.best = state["reduced"], state["best"]
        self.waited = int(state["waited"])
        self.another_rate = state["lr"] != self.settings.rate
        if self.another_rate:
            self.restart()
