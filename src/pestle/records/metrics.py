"""metrics.jsonl: one line for each evaluation of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pestle.errors import PestleError
from pestle.files import Damaged
from pestle.metrics import FrameErrors
from pestle.records.base import Figure, Part, Record


class EvaluatedErrors(FrameErrors):
    """Errors and loss of the frames that are watched.

    Attributes:
        loss: of these frames, with the weights of their head; no unit.
    """

    loss: Figure = None

    def of(self, name: str) -> Figure:
        """The figure of a name, such as `loss` or `forces_rmse`."""
        figure: Figure = getattr(self, name)
        return figure


class Update(Part):
    """Means over the updates since the last evaluation; null at epoch 0.

    Attributes:
        loss: with replay, of target and replay structures together; no unit.
        gradient_norm: before clipping.
    """

    loss: Figure = None
    gradient_norm: Figure = None


class Drift(Part):
    """How far a head has moved from the foundation's own predictions on broad structures.

    Attributes:
        energy_rmse: RMS of interaction energies, E0s aside (meV/atom).
        forces_rmse: RMS of force components (meV/Å).
    """

    energy_rmse: Figure = None
    forces_rmse: Figure = None


class MetricsLine(Record):
    """One evaluation of a run; of the averaged weights.

    Attributes:
        epoch: passes over the training frames so far.
        step: updates so far.
        seconds: time spent training so far (s).
        lr: learning rate of the next update.
        train: of the updates since the last evaluation.
        valid: target head on the validation frames.
        train_frames: in the place of `valid` in a run without validation frames: the same on at
            most 200 of the training frames.
        replay: only with replay: the head `pt_head` on the held-out replay structures.
        drift: only where drift is watched: head → how far it has moved.
        best: whether this model replaced the one kept so far.
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
        """Errors of the target head: on the validation frames, or in a run without them on training
        frames."""
        found = self.valid if self.valid is not None else self.train_frames
        assert found is not None
        return found

    @property
    def line(self) -> str:
        """The line of the file, without parts that the run does not have."""
        return json.dumps(self.in_file())

    @classmethod
    def of_line(cls, line: str, where: str) -> MetricsLine:
        """The record of a line, whichever version of Pestle wrote it.

        Raises:
            Damaged: it is no such record.
            PestleError: a newer Pestle wrote it.
        """
        try:
            content = json.loads(line)
        except ValueError as error:
            raise Damaged(f"is damaged ({error})", where=where) from error
        if not isinstance(content, dict):
            raise Damaged("is damaged: a line holds no object", where=where)
        return cls.of(content, where)


def read_metrics(path: Path) -> list[MetricsLine]:
    """All evaluations of a run; none if the file is not there.

    Raises:
        Damaged: a line is no record, or cannot be read.
        PestleError: a newer Pestle wrote one.
    """
    if not path.exists():
        return []
    return [MetricsLine.of_line(line, str(path)) for line in _lines(path)]


def whole_metrics(path: Path) -> tuple[list[MetricsLine], list[str]]:
    """Evaluations that can be read, and a line for each thing that is wrong: a run that was killed
    may have left half a line.

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
        problems.append(f"{path.name}: {broken} broken line{'s' if broken > 1 else ''} left out")
    return found, list(dict.fromkeys(problems))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"cannot be read ({error})", where=str(path)) from error
    return [line for line in text.splitlines() if line.strip()]
