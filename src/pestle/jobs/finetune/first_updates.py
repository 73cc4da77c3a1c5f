"""The first updates of a run: they determine learning rate, time, memory and the length of the
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pestle.errors import PestleError
from pestle.jobs.finetune.preparation import Prepared
from pestle.progress import stage, warn
from pestle.records.training import Plan, RateProbe
from pestle.settings.run import RunSettings
from pestle.training.budget import GUARD_EPOCHS, GUARD_UPDATES
from pestle.training.keeper import Keeper
from pestle.training.loggers import MetricsFile
from pestle.training.loop import Trainer
from pestle.training.objective import TrainingData
from pestle.training.rate_probe import probe_rates, reason_of
from pestle.training.trial_update import timed_update
from pestle.training.update_memory import too_large
from pestle.wording import counted, percent


def step_plan(trainer: Trainer, done: int = 0) -> Plan:
    """Return the number of updates and estimates of time and memory, from one timed update.

    Args:
        trainer: the trainer before its first update.
        done: updates that a resumed run has done already.
    """
    budget, train = trainer.budget, trainer.settings.train
    untimed = ""
    seconds = memory = None
    with stage("measuring the memory of an update"):
        need = too_large(trainer)
    if need is None:
        with stage("timing two updates, the largest batch first"):
            seconds, memory = timed_update(trainer)
    else:
        untimed = need.line(train.batch_size)
        warn(untimed)
    # An evaluation needs no second derivatives: about a third of an update per batch of its frames.
    watched = len(trainer.data.valid_frames)
    if trainer.data.replay is not None:
        watched += len(trainer.data.replay.valid_frames)
    left = max(0, budget.updates - done)
    evaluations = -(-left // budget.interval)
    evaluating = evaluations * -(-watched // train.batch_size) / 3
    return Plan(
        steps_per_epoch=budget.per_epoch,
        epochs=budget.epochs,
        steps=budget.updates,
        updates_between_evaluations=budget.interval,
        passes=trainer.mixture.passes(budget.updates).line(),
        ends_earlier=ends_earlier(trainer.settings),
        updates_done=done,
        seconds_per_step=seconds,
        estimated_seconds=None if seconds is None else (left + evaluating) * seconds,
        untimed=untimed,
        memory_mib=memory,
    )


def ends_earlier(settings: RunSettings) -> str:
    """Describe the conditions that end training before its last update.

    Args:
        settings: complete settings of the run.
    """
    train = settings.train
    if settings.data.no_validation:
        return "never earlier: without validation frames nothing says when to stop"
    if train.schedule != "plateau":
        return f"earlier after {counted(train.patience, 'evaluation')} without a better one"
    return (
        f"earlier: the rate is multiplied by {train.schedule_factor:g} whenever "
        f"{train.plateau} evaluations together improve {train.best_metric} by less than "
        f"{percent(train.min_improvement)}, and training ends below {train.schedule_floor:g} of "
        f"the first rate, or after {counted(train.patience, 'evaluation')} without a better one"
    )


def fix_length(trainer: Trainer, prepared: Prepared) -> None:
    """Store the length of a run and the interval of evaluations, if the user gave none.

    A longer budget of a resumed run then changes neither.

    Args:
        trainer: the trainer before its first update.
        prepared: the run; its settings and reasons are changed.
    """
    budget, train = trainer.budget, prepared.settings.train
    if train.updates is None and train.epochs is None:
        train.updates = budget.updates
        prepared.reasons["train.updates"] = (
            f"a guard, {GUARD_UPDATES:,} updates or {GUARD_EPOCHS} epochs, the longer: plateaus "
            "end the run before"
        )
    if train.eval_interval is None:
        train.eval_interval = budget.interval // budget.per_epoch
        prepared.reasons["train.eval_interval"] = f"every {counted(budget.interval, 'update')}"


def settle_rate(
    prepared: Prepared, data: TrainingData, device: torch.device
) -> tuple[RateProbe | None, Sequence[Keeper] | None]:
    """Replace `train.lr: auto` with a number.

    Args:
        prepared: the run; its settings are changed.
        data: graphs of the run.
        device: where training runs.

    Returns:
        The result of the rate search and the keepers of the run, which it has made; (`None`,
        `None`) if the rate is a number already.

    Raises:
        PestleError: the loss increases at every rate, or an update needs more memory than is free.
    """
    train = prepared.settings.train
    if train.lr != "auto":
        return None, None
    trainer = rate_trainer(prepared, data, device)
    with stage("measuring the memory of an update"):
        need = too_large(trainer)
    if need is not None:
        raise PestleError(
            f"{need.line(train.batch_size)}",
            where="train.lr",
            fix="The search for a learning rate makes such updates; a number leaves it out.",
        )
    probe = probe_rates(trainer)
    train.lr = probe.rate
    prepared.reasons["train.lr"] = reason_of(probe)
    return probe, trainer.keepers


def rate_trainer(prepared: Prepared, data: TrainingData, device: torch.device) -> Trainer:
    """Return a trainer for the rate search: it makes the same updates as the run and writes
    nothing.

    Args:
        prepared: the run.
        data: graphs of the run.
        device: where training runs.
    """
    settings = prepared.settings.model_copy(deep=True)
    # The value has no effect: the rate search uses its own optimisers.
    settings.train.lr = 1.0
    return Trainer(
        device,
        prepared.adaptation.model,
        prepared.adaptation.trainable,
        data,
        settings,
        checkpoint=Path(),
        metrics=MetricsFile(Path()),
        save_best=lambda *_: None,
        identity="",
    )
