"""What was forgotten, as metrics.json holds it."""

from __future__ import annotations

from typing import Literal

from pestle.metrics import FrameErrors
from pestle.protocols.distributions import Distribution
from pestle.protocols.predictions import NotFinite
from pestle.records.results import Numbers


class GroupErrors(FrameErrors):
    """Errors over the structures of a group.

    Attributes:
        forces_share: force RMSE over the RMS of the reference's forces.
    """

    forces_share: float | None


class Moved(Numbers):
    """How much of the foundation's forces is lost, so that neither one hole nor a few strained
    structures outweigh all the rest.

    Attributes:
        share: RMS over the structures of the deviation over the structure's own RMS force, which is
            `AT_REST` at least, the deviation no larger than that (0: nothing moved, 1: nothing
            left).
        beyond: how many structures moved by more than that.
        worst: which structure moved most in meV/Å.
        worst_forces: its RMS deviation, meV/Å.
    """

    share: float
    beyond: int
    worst: str
    worst_forces: float | None


class PotentialNumbers(Numbers):
    """What one potential says on these structures.

    Attributes:
        against_labels: group → errors; `None` without labels.
        against_foundation: group → deviations from the foundation; `None` for the foundation, and
            without one.
        median: force RMSE of the median structure against the reference, meV/Å.
        moved: what of the foundation's forces is lost; `None` for the foundation, and without one.
        not_finite: where a prediction is not finite; `None` where all are.
        distribution: errors of single structures against the reference.
        replay_head: whether it is the replay head of a model.
    """

    against_labels: dict[str, GroupErrors] | None
    against_foundation: dict[str, GroupErrors] | None
    median: float | None
    moved: Moved | None
    not_finite: NotFinite | None
    distribution: Distribution
    replay_head: bool


class ForgettingNumbers(Numbers):
    """Errors against labels, and deviations from the foundation.

    Groups are `all`, every config_type, and of generated structures the two halves.

    Attributes:
        reference: what charts and the verdict rest on.
        n_frames: structures that are compared.
        forces_rms: group → RMS of the reference's force components, meV/Å.
        potentials: name → its numbers.
        notes: what a reader of the numbers must know.
    """

    reference: Literal["labels", "foundation"]
    n_frames: int
    forces_rms: dict[str, float | None]
    potentials: dict[str, PotentialNumbers]
    notes: list[str]
