"""The record of the end of a run: its results, and the likely reason if they are bad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pestle.adaptation import Method, method_of
from pestle.errors import PestleError
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.jobs.finetune.breadth import Broad, breadth_of
from pestle.records.ending import Ending, Trouble
from pestle.records.metrics import MetricsLine
from pestle.records.old_sets import is_old
from pestle.records.parts import Convergence, InterpolationFacts
from pestle.records.set_errors import (
    WORSE_BY,
    SetErrors,
    only_worse,
    quantities_worse,
    worse_in_words,
)
from pestle.settings.run import RunSettings
from pestle.settings.training import LossSettings
from pestle.training.budget import Budget
from pestle.training.state import Counters
from pestle.wording import counted, figure, listed

#: What a new run takes: a rate this much lower, so much more training, energies that weigh more.
LOWER, LONGER, HEAVIER = 10, 4, 10
#: The same for frames of a continued run.
HEAVIER_OLD = 4


@dataclass(frozen=True)
class Course:
    """What is known about a run after its model was judged.

    Attributes:
        settings: complete settings with absolute paths.
        counters: epochs and updates of the training.
        budget: budget of the run.
        convergence: whether training had converged; `None` if this is unknown.
        records: lines of metrics.jsonl.
        failure: the reason for an early end of training; `None` if there was none.
        interpolation: as in the manifest, if the kept model lies between start and trained model.
    """

    settings: RunSettings
    counters: Counters
    budget: Budget
    convergence: Convergence | None
    records: Sequence[MetricsLine]
    failure: PestleError | None = None
    interpolation: InterpolationFacts | None = None

    @property
    def method(self) -> Method:
        return method_of(self.settings)

    @property
    def in_words(self) -> str:
        """The name of the figure that chose the kept model: `validation loss`."""
        train = self.settings.train
        head = "replay head's" if train.best_head == REPLAY_HEAD else "validation"
        if self.settings.data.no_validation:
            head = "training"
        return f"{head} {train.best_metric}"

    def chosen_by(self, record: MetricsLine) -> float:
        """Return the figure that chooses the model; infinity if it is not a number."""
        train = self.settings.train
        part = record.replay if train.best_head == REPLAY_HEAD else record.watched
        value = None if part is None else part.of(train.best_metric)
        return math.inf if value is None or not math.isfinite(value) else float(value)

    @property
    def drift(self) -> float | None:
        """Force drift of the target head of the kept model, meV/Å; `None` if drift was not
        monitored.
        """
        if self.interpolation is not None:
            return self.interpolation.drift
        return self.drift_at(self.counters.best_update)

    def drift_at(self, update: int) -> float | None:
        """Return the force drift of the target head at an evaluation.

        Args:
            update: number of the update.

        Returns:
            meV/Å; `None` if drift was not monitored.
        """
        for record in self.records:
            if record.step == update and record.drift:
                return record.drift[TARGET_HEAD].forces_rmse
        return None


def ending_of(
    course: Course,
    sets: Sequence[SetErrors],
    broad: Broad | None = None,
    *,
    original: str = "",
) -> Ending:
    """Make the record of the end of a run.

    Args:
        course: what is known about the run.
        sets: errors on the target's sets, the most informative set first.
        broad: measurements on broad structures; `None` if there are none. The drift of the kept
            model is taken from the course.
        original: the first foundation, if the run starts from the model of an earlier run.
    """
    settings, best = course.settings, course.counters.best_update
    breadth = breadth_of(replace(broad or Broad(), drift=course.drift), course.method)
    return Ending(
        method=settings.method,
        from_scratch=course.method.from_scratch,
        foundation=original or settings.foundation,
        scope=settings.scope,
        best_epoch=course.budget.epochs_after(best),
        sets=tuple(sets),
        breadth=breadth,
        trouble=_kept_start(course)
        if best == 0
        else _worse(course, tuple(sets)) or _unfinished(course),
    )


def _kept_start(course: Course) -> Trouble:
    """Explain why the run kept its starting model."""
    settings, counters = course.settings, course.counters
    values = {r.step: course.chosen_by(r) for r in course.records}
    start, later = values.get(0, math.inf), [v for step, v in values.items() if step > 0]
    before = "random weights" if course.method.from_scratch else "the starting model"
    what = f"the model that was kept is {before}, that of epoch 0"

    def trouble(reason: str, advice: str, *changed: str) -> Trouble:
        return Trouble(kind="start", what=what, reason=reason, advice=advice, settings=changed)

    if course.failure is not None:
        advice = course.failure.fix or "Look at the frames that it names"
        return trouble(f"training broke off: {course.failure.what}", advice.rstrip("."))
    free, budget = counters.best_update_without_budget, settings.train.max_drift
    if free > 0 and budget is not None:
        moved = course.drift_at(free)
        assert moved is not None
        return trouble(
            f"every better model had moved further than train.max_drift, {figure(budget)} meV/Å; "
            f"the best, after update {free}, by {figure(moved)}",
            "a larger budget; or a lower train.lr, or a method with replay",
            f"train.max_drift={math.ceil(moved)}",
        )
    if settings.train.best_head == REPLAY_HEAD:
        return trouble(
            "train.best_head=pt_head chose it, and the replay head begins as the foundation itself",
            "the target head chooses",
            f"train.best_head={TARGET_HEAD}",
        )
    best = min(later, default=math.inf)
    became = figure(best) if math.isfinite(best) else "no number"
    how = f"the {course.in_words} was {figure(start)} at the start and {became} at best afterwards"
    stopped = counters.step < course.budget.updates
    if best > (1 + WORSE_BY) * start or stopped:
        return trouble(
            f"train.lr={settings.train.rate:g} is too high: {how}",
            "a lower learning rate",
            f"train.lr={settings.train.rate / LOWER:g}",
        )
    return trouble(
        f"{counted(counters.step, 'update')} {'is' if counters.step == 1 else 'are'} too "
        "few to learn what the starting model does not know: "
        f"{how}",
        "longer training",
        _longer(course),
    ).model_copy(update={"goes_on": True})


def _longer(course: Course) -> str:
    """Return the setting that makes training longer."""
    return f"train.updates={LONGER * max(course.budget.updates, course.counters.step)}"


def _unfinished(course: Course) -> Trouble | None:
    """Report a run that ended while its errors still decreased; `None` if it converged."""
    over = course.counters.step >= course.budget.updates
    if (
        course.convergence is None
        or course.convergence.converged
        or course.failure is not None
        or not over
    ):
        return None
    return Trouble(
        kind="unfinished",
        what=f"the {course.in_words} {course.convergence.pace}",
        reason=f"its budget of {counted(course.budget.updates, 'update')} ended first",
        advice="longer training",
        settings=(_longer(course),),
        goes_on=True,
    )


def _lost(course: Course, sets: tuple[SetErrors, ...]) -> Trouble:
    """Report what a continued run lost of what it had learned, and learned nowhere else."""
    weight = course.settings.parent.weight
    assert weight is not None
    return Trouble(
        kind="lost",
        what=worse_in_words(sets),
        reason=f"the new frames drew it away from the old ones, each of which has weight "
        f"{figure(weight)} where a new one has 1",
        advice="old frames weigh more",
        settings=(f"parent.weight={float(f'{HEAVIER_OLD * weight:.2g}'):g}",),
    )


def _worse(course: Course, sets: tuple[SetErrors, ...]) -> Trouble | None:
    """Report what is worse than the foundation, and why; `None` if nothing is worse."""
    settings = course.settings
    bad = [one for one in sets if one.is_worse]
    if not bad:
        return None
    what = worse_in_words(sets, name_sets=only_worse(sets) is None)

    def trouble(reason: str, advice: str, *changed: str) -> Trouble:
        return Trouble(kind="worse", what=what, reason=reason, advice=advice, settings=changed)

    if course.failure is not None:
        advice = course.failure.fix or "Look at the frames that it names"
        return trouble(f"training broke off: {course.failure.what}", advice.rstrip("."))
    if all(is_old(one.name) for one in bad):
        return _lost(course, sets)
    lower = f"train.lr={settings.train.rate / LOWER:g}"
    if any(one.lost for one in bad):
        return trouble("training led the weights astray", "a lower learning rate", lower)
    if course.convergence is not None and not course.convergence.converged:
        return trouble(
            f"training ended too early: the {course.in_words} {course.convergence.pace}",
            "longer training",
            _longer(course),
        ).model_copy(update={"goes_on": True})
    if course.method.from_scratch:
        return trouble(
            "so few frames teach random weights less than the foundation knows",
            "Fine-tune the foundation: --method naive",
        )
    if {one.name for one in bad} == {"test"}:
        return trouble(
            "the test frames are unlike the training frames, on which it is better",
            "Add frames like them to data.train, or keep what the foundation knows of them with "
            "--method pseudolabel",
        )
    worse = quantities_worse(bad)
    if worse == ["stress"] and settings.loss.stress == 0:
        weight = LossSettings().stress
        return trouble("loss.stress=0: it is not learned", "learn it", f"loss.stress={weight:g}")
    if "forces" not in worse:
        weights = {"energies": "energy", "stress": "stress"}
        heavier = [
            f"loss.{weights[name]}={(getattr(settings.loss, weights[name]) or 1) * HEAVIER:g}"
            for name in worse
        ]
        others = "forces and energies" if worse == ["stress"] else "forces"
        return trouble(
            f"{others} outweigh {listed(worse)} in the loss",
            f"{listed(worse)} {'weighs' if worse == ['stress'] else 'weigh'} more",
            *heavier,
        )
    return trouble(
        f"train.lr={settings.train.rate:g} is too high, or the frames contradict each other "
        "(pestle check)",
        "a lower learning rate",
        lower,
    )
