"""Optimiser, learning-rate schedule and weight average of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch_ema import ExponentialMovingAverage

from pestle.settings.training import TrainSettings
from pestle.training.budget import Budget

#: Rate at the end of a cosine schedule, as a fraction of the first.
COSINE_FLOOR = 0.01


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], settings: TrainSettings
) -> torch.optim.AdamW:
    """Create the optimiser: AdamW with β = (0.9, 0.999), the paper's values (appendix A.4).

    The fused version updates all weights in one pass instead of about a dozen. It sums in another
    order than torch's plain loop, so that weights differ by about 1e-16 of their size at each
    update.

    Args:
        parameters: the parameters to train.
        settings: learning rate, weight decay and variant (AMSGrad).
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
    """Create an exponential moving average of the weights.

    The decay at update n is min(d, (1+n)/(10+n)). Without this warm-up, an average with d = 0.9999
    still consists mostly of the foundation's weights after a thousand updates.

    Args:
        parameters: the parameters to average.
        settings: gives d (`train.ema_decay`).
    """
    assert settings.ema_decay is not None
    return ExponentialMovingAverage(parameters, decay=settings.ema_decay, use_num_updates=True)


@dataclass
class Schedule:
    """The learning rate as a function of the update: base rate × warm-up × shape × plateau factor.

    It does not use torch's schedulers, because their plateau and step-wise parts overwrite each
    other's rate, and their state depends on how often they were called.

    Attributes:
        settings: training settings of the run.
        budget: length of the run.
        second_rate: learning rate of the second stage; `None` if it is the same.
        second_stage: whether the second stage has begun.
        reduced: product of all reductions at plateaus so far.
        best: last validation figure that counted as an improvement.
        waited: evaluations since then.
        rising: whether the second stage has begun and its errors have not fallen yet.
        another_rate: whether the loaded checkpoint had another learning rate.
    """

    settings: TrainSettings
    budget: Budget
    second_rate: float | None = None
    second_stage: bool = False
    reduced: float = 1.0
    best: float = math.inf
    waited: int = 0
    rising: bool = False
    another_rate: bool = False

    def rate(self, step: int) -> float:
        """Return the learning rate of the update that follows `step` updates."""
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
        """Set the optimiser's learning rate for its next update.

        Args:
            optimizer: the optimiser.
            step: number of updates done.

        Returns:
            The learning rate.
        """
        rate = self.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        return rate

    def evaluated(self, metric: float) -> None:
        """Take note of a regular evaluation and reduce the rate at a plateau.

        A figure counts as an improvement if it is lower than the last improvement by the fraction
        `min_improvement`. A plateau is therefore a series of evaluations that together gain less
        than that. Errors often rise where the second stage of the loss begins (paper, Fig. 12):
        until they fall, each is the one to improve on, or plateaus would end the run while it
        recovers.

        Args:
            metric: validation figure; lower is better.
        """
        if self.settings.schedule != "plateau":
            return
        if self.rising and not math.isfinite(metric):
            return
        if self.rising and (math.isinf(self.best) or metric > self.best):
            self.best = metric
            return
        self.rising = False
        if metric < self.best * (1 - self.settings.min_improvement):
            self.best, self.waited = metric, 0
            return
        self.waited += 1
        if self.waited >= self.settings.plateau:
            self.reduced *= self.settings.schedule_factor
            self.waited = 0

    @property
    def ended(self) -> bool:
        """Whether plateaus have reduced the rate so far that the run ends (`schedule_floor`)."""
        return self.reduced < self.settings.schedule_floor

    def restart(self) -> None:
        """Forget earlier plateaus, because another learning rate or loss begins."""
        self.reduced, self.best, self.waited = 1.0, math.inf, 0

    def begin_second_stage(self) -> None:
        """Change to the rate of the second stage of the loss, whose errors may rise at first."""
        self.second_stage = self.rising = True
        self.restart()

    def state_dict(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {
            "second_stage": self.second_stage,
            "reduced": self.reduced,
            "best": self.best,
            "waited": self.waited,
            "rising": self.rising,
            "lr": self.settings.rate,
        }

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a checkpoint.

        If its learning rate was different, earlier plateaus are forgotten.
        """
        self.second_stage = bool(state.get("second_stage", False))
        self.reduced, self.best = state["reduced"], state["best"]
        self.waited = int(state["waited"])
        self.rising = bool(state.get("rising", False))
        self.another_rate = state["lr"] != self.settings.rate
        if self.another_rate:
            self.restart()
