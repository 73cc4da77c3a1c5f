"""Records of a study: its plan, its cells, and hashes of its files."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pestle.records.base import Part, Record

CellStatus = Literal["running", "interrupted", "failed", "finished"]


class PlannedCell(Part):
    """A planned cell.

    Attributes:
        name: name of its run folder and its record.
        axes: axis → value of a setting, or label of a group of settings.
        steps: step → hash of everything that it depends on.
    """

    name: str
    axes: dict[str, Any] = Field(default_factory=dict)
    steps: dict[str, str] = Field(default_factory=dict)


class StudyPlan(Record):
    """plan.json: the cells of a study, as the last `pestle study` saw them.

    Attributes:
        study: file of the study.
        asked: hash of its content and of the options on the command line.
        pestle: version that wrote the plan.
        seeds: axes that are seeds.
        cells: all cells.
    """

    FIX: ClassVar[str] = "Type `pestle study STUDY.yaml --dry-run`, which writes it anew."

    format: int = 1
    study: str
    asked: str
    pestle: str
    seeds: tuple[str, ...] = ()
    cells: tuple[PlannedCell, ...] = ()


class FileStamp(Part):
    """A file as it was seen; its content is not read again while these stay.

    Attributes:
        size: bytes.
        changed: time of its last change (ns).
    """

    size: int
    changed: int


class CellStep(Part):
    """A step of a cell that has started.

    Attributes:
        key: hash of everything that it depends on.
        status: running, interrupted, failed or finished.
        code: exit code of the command; negative for a signal; null if it is not known.
        seconds: time of all attempts together (s).
        last_lines: last lines of the output of a command that failed.
        run_file: run.yaml of the run when its training ended with the settings of the cell.
    """

    key: str
    status: CellStatus
    code: int | None = None
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()
    run_file: FileStamp | None = None


class CellRecord(Record):
    """cells/NAME.json: progress of a cell. It is made again from the run folder if it is lost.

    Attributes:
        name: name of the cell.
        axes: axes as in the plan.
        host: computer of the last step.
        begun: start of the last step, UTC.
        steps: finetune, qualify or probe NAME → progress of the step.
    """

    FIX: ClassVar[str] = "Delete it: the next `pestle study` makes it anew from the run folder."

    format: int = 1
    name: str
    axes: dict[str, Any] = Field(default_factory=dict)
    host: str = ""
    begun: str = ""
    steps: dict[str, CellStep] = Field(default_factory=dict)

    def is_finished(self, step: str, key: str) -> bool:
        """Whether a step is finished, and what it depends on has not changed since.

        Args:
            step: name of the step.
            key: present hash of everything that it depends on.
        """
        found = self.steps.get(step)
        return found is not None and found.status == "finished" and found.key == key

    def with_step(self, name: str, step: CellStep, **entries: Any) -> CellRecord:
        """Return the record with a new state of one step.

        Args:
            name: name of the step.
            step: its new state.
            entries: other entries to replace.
        """
        return self.model_copy(update={"steps": {**self.steps, name: step}, **entries})


class KnownFile(Part):
    """A file with a known hash.

    Attributes:
        size: size of the file (bytes).
        changed: time of its last change (ns).
        sha256: hash of its content.
    """

    size: int
    changed: int
    sha256: str


class FileHashes(Record):
    """hashes.json: hashes of data and foundations, so that each is calculated only once.

    Attributes:
        files: path → size, time and hash.
    """

    FIX: ClassVar[str] = "Delete it: it is made anew."

    format: int = 1
    files: dict[str, KnownFile] = Field(default_factory=dict)
