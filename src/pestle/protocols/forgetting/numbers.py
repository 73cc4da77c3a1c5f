"""Results of forgetting, as stored in metrics.json."""

from __future__ import annotations

from typing import Literal

from pestle.metrics import FrameErrors
from pestle.protocols.distributions import Distribution
from pestle.protocols.predictions import NotFinite
from pestle.records.results import Numbers


class GroupErrors(FrameErrors):
    """Errors over the structures of a group.

    Attributes:
        forces_share: force RMSE divided by the RMS of the reference's forces; `None` without
            forces.
    """

    forces_share: float | None


class Moved(Numbers):
    """How much of the foundation's forces is lost.

    Every structure has the same weight, so that a few structures with large forces or with very
    wrong predictions do not dominate.

    Attributes:
        share: RMS over the structures of the relative deviation: the deviation of the forces
            divided by the structure's RMS force (at least `AT_REST`), and at most 1. 0 means that
            nothing has changed, 1 that nothing is left.
        beyond: number of structures whose relative deviation is above 1.
        worst: structure with the largest deviation in meV/Å.
        worst_forces: its RMS deviation, meV/Å.
    """

    share: float
    beyond: int
    worst: str
    worst_forces: float | None


class PotentialNumbers(Numbers):
    """Results of one potential on these structures.

    Attributes:
        against_labels: group → errors; `None` without labels.
        against_foundation: group → deviations from the foundation; `None` for the foundation, and
            without one.
        median: median over the structures of the force RMSE against the reference, meV/Å.
        moved: how much of the foundation's forces is lost; `None` for the foundation, and without
            one.
        not_finite: structures on which a prediction is not finite; `None` if there are none.
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

    Groups are `all`, every config_type, and the two halves of generated structures.

    Attributes:
        reference: the reference of charts and verdict.
        n_frames: number of compared structures.
        forces_rms: group → RMS of the reference's force components, meV/Å.
        potentials: name → its numbers.
        notes: sentences that readers of the numbers must know.
    """

    reference: Literal["labels", "foundation"]
    n_frames: int
    forces_rms: dict[str, float | None]
    potentials: dict[str, PotentialNumbers]
    notes: list[str]
