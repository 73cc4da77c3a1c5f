"""How long a run trains at most, and when it is evaluated: all in updates, whatever the method.

An update is one step of the optimiser: the one measure that means the same for 20 frames and for
20,000, with replay and without. An epoch is a number of updates that a mixture defines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pestle.errors import PestleError
from pestle.settings.run import LossSettings, TrainSettings

#: Updates between evaluations where nobody says: an evaluation of 50 structures costs about a tenth
#: of them.
UPDATES_BETWEEN = 50
#: Evaluations that a short run has at least.
MIN_EVALUATIONS = 10
#: Updates and epochs, the longer of the two, that bound a run where nobody says: plateaus of the
#: validation figure end it before.
GUARD_UPDATES, GUARD_EPOCHS = 20_000, 200


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        updates: at most.
        per_epoch: updates in an epoch.
        interval: updates between evaluations.
    """

    updates: int
    per_epoch: int
    interval: int

    @property
    def epochs(self) -> int | float:
        """The same in epochs."""
        return self.epochs_after(self.updates)

    def epochs_after(self, updates: int) -> int | float:
        """Epochs done after so many updates; a whole number where they are whole."""
        whole, rest = divmod(updates, self.per_epoch)
        return whole if rest == 0 else round(updates / self.per_epoch, 4)

    def epoch_of(self, updates: int) -> int:
        """The epoch (from 1) of the update that follows so many."""
        return updates // self.per_epoch + 1

    def evaluates_after(self, updates: int) -> bool:
        """Whether the model is evaluated then, the end included."""
        return updates == self.updates or self.on_grid(updates)

    def on_grid(self, updates: int) -> bool:
        """Whether that is a regular evaluation, which a longer run has, too."""
        return updates % self.interval == 0


def make_budget(train: TrainSettings, per_epoch: int) -> Budget:
    """The budget of complete settings.

    Args:
        train: with `updates` or `epochs`, or with neither for the guard.
        per_epoch: updates in an epoch.
    """
    if train.epochs is not None:
        updates = train.epochs * per_epoch
    else:
        updates = train.updates or max(GUARD_UPDATES, GUARD_EPOCHS * per_epoch)
    every = train.eval_interval or default_interval(updates, per_epoch)
    return Budget(updates, per_epoch, every * per_epoch)


def default_interval(updates: int, per_epoch: int) -> int:
    """Epochs between evaluations where nobody says."""
    enough = math.ceil(UPDATES_BETWEEN / per_epoch)
    return max(1, min(enough, updates // (MIN_EVALUATIONS * per_epoch)))


def second_stage_at(settings: LossSettings, budget: Budget) -> int | None:
    """Updates before the second stage of the loss; `None` without one.

    Raises:
        PestleError: the run is over before.
    """
    epoch = settings.stage_two_epoch
    if epoch is None:
        return None
    at = (epoch - 1) * budget.per_epoch
    if at >= budget.updates:
        raise PestleError(
            f"the second stage of the loss begins in epoch {epoch:,}, and the run ends after "
            f"{budget.epochs:,.4g} epochs ({budget.updates:,} updates)",
            where="loss.stage_two_epoch",
            fix="Choose an earlier epoch, or a longer run (train.epochs, train.updates).",
        )
    return at
