"""What a study leaves besides run folders: its plan, one record a cell, and hashes of its files."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pestle.records.base import Part, Record

CellStatus = Literal["running", "interrupted", "failed", "finished"]


class PlannedCell(Part):
    """A cell as it was planned.

    Attributes:
        name: of its run folder and its record.
        axes: axis → value of a setting, or label of a group of settings.
        steps: what is done → key of what it depends on.
    """

    name: str
    axes: dict[str, Any] = Field(default_factory=dict)
    steps: dict[str, str] = Field(default_factory=dict)


class StudyPlan(Record):
    """plan.json: the cells of a study, as the last `pestle study` saw them.

    Attributes:
        study: the file.
        asked: hash of what it said and what was typed with it.
        pestle: version that planned.
        seeds: axes that are seeds.
        cells: all of them.
    """

    FIX: ClassVar[str] = "Type `pestle study STUDY.yaml --dry-run`, which writes it anew."

    format: int = 1
    study: str
    asked: str
    pestle: str
    seeds: tuple[str, ...] = ()
    cells: tuple[PlannedCell, ...] = ()


class CellStep(Part):
    """A step of a cell that was begun.

    Attributes:
        key: of what it depended on.
        status: running, interrupted, failed or finished.
        code: exit code of the command; negative for a signal; null where none is known.
        seconds: that it took, all attempts together (s).
        last_lines: of what the command said, where it failed.
    """

    key: str
    status: CellStatus
    code: int | None = None
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()


class CellRecord(Record):
    """cells/NAME.json: how far a cell has come. What counts is its run folder; this says what was
    done to it, and is made anew where it is lost.

    Attributes:
        name: of the cell.
        axes: as in the plan.
        host: where it was calculated last.
        begun: when its last step was begun, in UTC.
        steps: finetune, qualify, probe NAME → how it went.
    """

    FIX: ClassVar[str] = "Delete it: the next `pestle study` makes it anew from the run folder."

    format: int = 1
    name: str
    axes: dict[str, Any] = Field(default_factory=dict)
    host: str = ""
    begun: str = ""
    steps: dict[str, CellStep] = Field(default_factory=dict)

    def is_finished(self, step: str, key: str) -> bool:
        """Whether a step was finished with what it depends on now."""
        found = self.steps.get(step)
        return found is not None and found.status == "finished" and found.key == key

    def with_step(self, name: str, step: CellStep, **entries: Any) -> CellRecord:
        """The same with another state of one step."""
        return self.model_copy(update={"steps": {**self.steps, name: step}, **entries})


class KnownFile(Part):
    """A file whose hash was taken.

    Attributes:
        size: bytes.
        changed: time of its last change (ns).
        sha256: of its content.
    """

    size: int
    changed: int
    sha256: str


class FileHashes(Record):
    """hashes.json: hashes of data and foundations, so that they are taken once.

    Attributes:
        files: path → what was found.
    """

    FIX: ClassVar[str] = "Delete it: it is made anew."

    format: int = 1
    files: dict[str, KnownFile] = Field(default_factory=dict)
