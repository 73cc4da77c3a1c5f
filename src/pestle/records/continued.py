"""The runs that a run continues, in its manifest."""

from __future__ import annotations

from pydantic import Field

from pestle.records.base import Part
from pestle.records.parts import File, Value


class OldRun(Part):
    """A run that is continued: its training frames are trained on again, its other sets judged.

    Attributes:
        name: name of the run in the names of its sets.
        run_id: identifier of the run; empty if it is not recorded.
        files: split (train, valid, test) → its files.
        settings: name of a setting of the data → value for reading the files.
    """

    name: str
    run_id: str = ""
    files: dict[str, tuple[File, ...]] = Field(default_factory=dict)
    settings: dict[str, Value] = Field(default_factory=dict)


class Continued(Part):
    """What a run trains on and judges again.

    Attributes:
        runs: the runs, the oldest first.
        n_frames: number of their training frames.
        weight: weight of each of these frames in the loss; a new frame has 1.
    """

    runs: tuple[OldRun, ...]
    n_frames: int
    weight: float
