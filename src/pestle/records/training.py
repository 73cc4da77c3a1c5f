"""The training of a run in its manifest: plan, tests before the first update, and results."""

from __future__ import annotations

from typing import ClassVar, Literal

from pestle.records.base import Figure, Part
from pestle.records.parts import Convergence


class Plan(Part):
    """Length of a run and estimates of time and memory.

    Attributes:
        steps_per_epoch: number of updates in an epoch.
        epochs: largest number of epochs.
        steps: largest number of updates.
        updates_between_evaluations: number of updates between evaluations.
        passes: passes over target and replay structures, in words.
        ends_earlier: when training ends before its last update, in words.
        updates_done: updates that were done before the run was resumed.
        seconds_per_step: time of an update (s); null if none was timed.
        estimated_seconds: longest time of the updates that are left (s); null if none was timed.
        untimed: why no update was timed, and what to do about it; empty if one was.
        memory_mib: peak memory (MiB); null if the system does not tell it.
    """

    steps_per_epoch: int
    epochs: int | float
    steps: int
    updates_between_evaluations: int = 0
    passes: str = ""
    ends_earlier: str = ""
    updates_done: int = 0
    seconds_per_step: Figure = None
    estimated_seconds: Figure = None
    untimed: str = ""
    memory_mib: Figure = None


class Trial(Part):
    """One learning rate that was tried.

    Attributes:
        rate: the learning rate.
        losses: loss after some numbers of updates, divided by its start; null if it was not finite.
        safe: whether none of them has risen.
        updates: number of updates.
    """

    rate: float
    losses: tuple[Figure, ...] = ()
    safe: bool
    updates: int


class RateProbe(Part):
    """Result of the probe of learning rates.

    Attributes:
        rate: learning rate for the training, below the largest safe one.
        trials: all learning rates that were tried, the largest first.
        updates: number of updates at the largest safe rate.
        seconds: time of the probe (s).
    """

    rate: float
    trials: tuple[Trial, ...] = ()
    updates: int
    seconds: float

    @property
    def largest(self) -> float:
        """The largest safe rate."""
        return self.trials[-1].rate


class Gate(Part):
    """The zero-step gate: largest differences between adapted model and foundation before training.
    The change of the E0s is subtracted.

    Attributes:
        n_frames: number of frames that were compared.
        energy: largest difference of energies (eV/atom).
        forces: largest difference of force components (eV/Å).
        stress: largest difference of stress components (eV/Å³).
    """

    n_frames: int
    energy: float
    forces: float
    stress: float

    def joined(self, other: Gate) -> Gate:
        """Return the larger differences of two gates."""
        return Gate(
            n_frames=self.n_frames + other.n_frames,
            energy=max(self.energy, other.energy),
            forces=max(self.forces, other.forces),
            stress=max(self.stress, other.stress),
        )


class Preparation(Part):
    """Times of a run.

    Attributes:
        preparation_s: time before the first update (s).
    """

    preparation_s: float | None = None


class KeptModel(Part):
    """A model that shows the cost of the limit on drift.

    Attributes:
        epoch: epoch of the model.
        value: value of the figure that chooses the model to keep.
    """

    epoch: int | float
    value: Figure = None


class DriftBudget(Part):
    """Cost of the limit on drift (`train.max_drift`).

    Attributes:
        max_drift: the limit (meV/Å).
        metric: the figure that chooses the model to keep.
        within: the best model within the limit.
        without: the best of all models.
    """

    max_drift: float
    metric: str
    within: KeptModel
    without: KeptModel


class TrainingFacts(Part):
    """Results of the training.

    Attributes:
        best_epoch, best_update: epoch and update of the kept model.
        best_metric: the figure that chooses it.
        best_value: value of this figure.
        epochs: number of epochs done.
        steps: number of updates done.
        seconds: training time (s), without interruptions.
        cpu_seconds: processor time of all threads (s), without interruptions; left out in runs that
            an earlier version began.
        finished: why training ended.
        kept: `best`, or `last` in a run without validation frames.
        convergence: null if it cannot be judged.
        drift_budget: null if no limit was given.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"cpu_seconds"})

    best_epoch: int | float
    best_update: int | None = None
    best_metric: str
    best_value: Figure = None
    epochs: int | float
    steps: int
    seconds: float
    cpu_seconds: Figure = None
    finished: str = ""
    kept: Literal["best", "last"] = "best"
    convergence: Convergence | None = None
    drift_budget: DriftBudget | None = None
