"""The length of a run as its plan tells it: updates, passes, time and memory."""

from __future__ import annotations

from typing import Any

from pestle.jobs.preparation import Prepared
from pestle.settings import TrainSettings
from pestle.training.loop import Trainer


def step_plan(trainer: Trainer) -> dict[str, Any]:
    """Updates, what they come to, and time and memory from one timed update."""
    seconds, memory = trainer.timed_step()
    budget, train = trainer.budget, trainer.settings.train
    # An evaluation needs no second derivatives: about a third of an update per batch of its frames.
    watched = len(trainer.data.valid_frames)
    if trainer.data.replay is not None:
        watched += len(trainer.data.replay.valid_frames)
    evaluations = -(-budget.updates // budget.interval)
    evaluating = evaluations * -(-watched // train.batch_size) * seconds / 3
    return {
        "steps_per_epoch": budget.per_epoch,
        "epochs": budget.epochs,
        "steps": budget.updates,
        "updates_between_evaluations": budget.interval,
        "passes": trainer.mixture.passes(budget.updates).line(),
        "ends_earlier": ends_earlier(train),
        "seconds_per_step": seconds,
        "estimated_seconds": budget.updates * seconds + evaluating,
        "memory_mib": memory,
    }


def ends_earlier(train: TrainSettings) -> str:
    """When training ends before its last update, in words."""
    if train.schedule != "plateau":
        return f"earlier after {train.patience} evaluations without a better one"
    return (
        f"earlier: the rate is multiplied by {train.schedule_factor:g} whenever "
        f"{train.schedule_patience} evaluations together improve {train.best_metric} by less than "
        f"{train.min_improvement:.0%}, and training ends below {train.schedule_floor:g} of the "
        "first rate"
    )


def fix_interval(trainer: Trainer, prepared: Prepared) -> None:
    """Write down how often the run is evaluated, so that a longer budget does not change it."""
    budget, train = trainer.budget, prepared.settings.train
    if train.eval_interval is None:
        train.eval_interval = budget.interval // budget.per_epoch
        prepared.reasons["train.eval_interval"] = f"every {budget.interval} updates"
