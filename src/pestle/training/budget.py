"""Length of a run and times of its evaluations, in updates.

An update is one step of the optimiser. It means the same for 20 and for 20,000 frames, with and
without replay. An epoch is a number of updates that the mixture defines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pestle.errors import PestleError
from pestle.settings.training import LossSettings, TrainSettings
from pestle.wording import counted

#: Default number of updates between evaluations: an evaluation of 50 structures costs about a tenth
#: of them.
UPDATES_BETWEEN = 50
#: Smallest number of evaluations in a short run.
MIN_EVALUATIONS = 10
#: Default upper limit of a run, in updates and epochs; the longer one applies. Plateaus of the
#: validation figure usually end the run before.
GUARD_UPDATES, GUARD_EPOCHS = 20_000, 200


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        updates: largest number of updates.
        per_epoch: updates in an epoch.
        interval: updates between evaluations.
    """

    updates: int
    per_epoch: int
    interval: int

    @property
    def epochs(self) -> int | float:
        """Length of the run in epochs."""
        return self.epochs_after(self.updates)

    def epochs_after(self, updates: int) -> int | float:
        """Return the epochs that a number of updates makes, as an integer if it is whole."""
        whole, rest = divmod(updates, self.per_epoch)
        return whole if rest == 0 else round(updates / self.per_epoch, 4)

    def epoch_of(self, updates: int) -> int:
        """Return the number of the epoch, from 1, that contains the next update.

        Args:
            updates: number of updates done.
        """
        return updates // self.per_epoch + 1

    def evaluates_after(self, updates: int) -> bool:
        """Whether the model is evaluated after this number of updates, as it is at the end."""
        return updates == self.updates or self.on_grid(updates)

    def on_grid(self, updates: int) -> bool:
        """Whether a regular evaluation follows this number of updates.

        The evaluation at the end may be an extra one, which a longer run would not have.
        """
        return updates % self.interval == 0


def make_budget(train: TrainSettings, per_epoch: int) -> Budget:
    """Calculate the length of a run from complete settings.

    Args:
        train: settings with `updates` or `epochs`; with neither, the upper limit `GUARD_UPDATES` or
            `GUARD_EPOCHS` applies.
        per_epoch: updates in an epoch.
    """
    if train.epochs is not None:
        updates = train.epochs * per_epoch
    else:
        updates = train.updates or max(GUARD_UPDATES, GUARD_EPOCHS * per_epoch)
    every = train.eval_interval or default_interval(updates, per_epoch)
    return Budget(updates, per_epoch, every * per_epoch)


def default_interval(updates: int, per_epoch: int) -> int:
    """Return the number of epochs between evaluations, if the settings give none.

    Args:
        updates: updates of the run.
        per_epoch: updates in an epoch.
    """
    enough = math.ceil(UPDATES_BETWEEN / per_epoch)
    return max(1, min(enough, updates // (MIN_EVALUATIONS * per_epoch)))


def second_stage_at(settings: LossSettings, budget: Budget) -> int | None:
    """Return the number of updates before the second stage of the loss; `None` without one.

    Raises:
        PestleError: the run ends before the second stage.
    """
    epoch = settings.stage_two_epoch
    if epoch is None:
        return None
    at = (epoch - 1) * budget.per_epoch
    if at >= budget.updates:
        raise PestleError(
            f"the second stage of the loss begins in epoch {epoch:,}, and the run ends after "
            f"{counted(budget.epochs, 'epoch')} ({counted(budget.updates, 'update')})",
            where="loss.stage_two_epoch",
            fix="Choose an earlier epoch, or a longer run (train.epochs, train.updates).",
        )
    return at
