"""metrics.jsonl: one line for each evaluation of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pestle.errors import PestleError
from pestle.files import Damaged
from pestle.metrics import FrameErrors
from pestle.records.base import Figure, Part, Record
from pestle.wording import counted


class EvaluatedErrors(FrameErrors):
    """Errors and loss of the evaluated frames.

    Attributes:
        loss: loss of these frames, with the weights of their head; no unit.
    """

    loss: Figure = None

    def of(self, name: str) -> Figure:
        """Return the figure of a name, such as `loss` or `forces_rmse`."""
        figure: Figure = getattr(self, name)
        return figure


class Update(Part):
    """Means over the updates since the last evaluation; null at epoch 0.

    Attributes:
        loss: loss, with replay of target and replay structures together; no unit.
        gradient_norm: norm of the gradient before clipping.
    """

    loss: Figure = None
    gradient_norm: Figure = None


class Drift(Part):
    """Difference between a head's predictions and the foundation's on broad structures.

    Attributes:
        energy_rmse: RMS difference of interaction energies, without E0s (meV/atom).
        forces_rmse: RMS difference of force components (meV/Å).
    """

    energy_rmse: Figure = None
    forces_rmse: Figure = None


class MetricsLine(Record):
    """One evaluation of a run, with the averaged weights.

    Attributes:
        epoch: number of passes over the training frames.
        step: number of updates.
        seconds: training time (s).
        lr: learning rate of the next update.
        train: means over the updates since the last evaluation.
        valid: errors of the target head on the validation frames.
        train_frames: instead of `valid` in a run without validation frames: errors on at most 200
            of the training frames.
        replay: errors of the head `pt_head` on the held-out replay structures; only with replay.
        drift: head → difference from the foundation; only if drift is measured.
        best: whether this model replaced the one kept before.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"valid", "train_frames", "replay", "drift"})

    format: int = 2
    epoch: int | float
    step: int
    seconds: float
    lr: float
    train: Update = Update()
    valid: EvaluatedErrors | None = None
    train_frames: EvaluatedErrors | None = None
    replay: EvaluatedErrors | None = None
    drift: dict[str, Drift] | None = None
    best: bool = False

    @property
    def watched(self) -> EvaluatedErrors:
        """Errors of the target head on validation frames or, without any, on training frames."""
        found = self.valid if self.valid is not None else self.train_frames
        assert found is not None
        return found

    @property
    def line(self) -> str:
        """The line of the file, without parts that the run does not have."""
        return json.dumps(self.in_file())

    @classmethod
    def of_line(cls, line: str, where: str) -> MetricsLine:
        """Make the record from a line written by any version.

        Args:
            line: the line.
            where: name of the file, for errors.

        Raises:
            Damaged: the line is not such a record.
            PestleError: a newer version wrote it.
        """
        try:
            content = json.loads(line)
        except ValueError as error:
            raise Damaged(f"is damaged ({error})", where=where) from error
        if not isinstance(content, dict):
            raise Damaged("is damaged: a line holds no object", where=where)
        return cls.of(content, where)


def read_metrics(path: Path) -> list[MetricsLine]:
    """Read all evaluations of a run; none if the file does not exist.

    Raises:
        Damaged: the file cannot be read, or a line is not a record.
        PestleError: a newer version wrote a line.
    """
    if not path.exists():
        return []
    return [MetricsLine.of_line(line, str(path)) for line in _lines(path)]


def whole_metrics(path: Path) -> tuple[list[MetricsLine], list[str]]:
    """Read the evaluations without broken lines, as a run that was killed may leave half a line.

    Args:
        path: the file.

    Returns:
        The evaluations, and one line for each problem.

    Raises:
        Damaged: the file cannot be read.
    """
    found, broken, problems = [], 0, []
    for line in _lines(path):
        try:
            found.append(MetricsLine.of_line(line, path.name))
        except Damaged:
            broken += 1
        except PestleError as error:
            problems.append(error.line)
    if broken:
        problems.append(f"{path.name}: {counted(broken, 'broken line')} left out")
    return found, list(dict.fromkeys(problems))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"cannot be read ({error})", where=str(path)) from error
    return [line for line in text.splitlines() if line.strip()]
