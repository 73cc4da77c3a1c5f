"""The checkpoint file: everything that a run needs to continue as if it had never stopped.

The previous checkpoint is kept as `previous.pt`, in case the newest is damaged.
"""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pestle.errors import PestleError
from pestle.files import Damaged, read_sealed, write_sealed
from pestle.progress import warn
from pestle.training.mixing import Position
from pestle.wording import counted

FORMAT = 3
#: Name of the previous checkpoint, in the same folder.
PREVIOUS = "previous.pt"


@dataclass
class Counters:
    """Progress of a run.

    Attributes:
        position: updates done, and position in the streams of frames.
        best, best_update: best value of the figure that chooses the model, and the update after
            which it was found; −1 before the first evaluation.
        best_without_budget, best_update_without_budget: the same without the limit on drift.
        second_stage: updates before the second stage of the loss; −1 until it begins.
        waited: evaluations since the best one.
        evaluations: number of evaluations in metrics.jsonl.
        seconds: training time without interruptions.
        cpu_seconds: processor time of all threads, without interruptions; NaN after a checkpoint of
            an earlier version, which does not contain it.
        loss_sum, loss_batches: sum and number of training losses since the last evaluation.
        norm_sum: sum of the gradient norms since the last evaluation.
        finished: why training ended; empty before.
    """

    position: Position = field(default_factory=Position)
    best: float = float("inf")
    best_update: int = -1
    best_without_budget: float = float("inf")
    best_update_without_budget: int = -1
    second_stage: int = -1
    waited: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_batches: int = 0
    norm_sum: float = 0.0
    finished: str = ""

    @property
    def step(self) -> int:
        """Number of updates done."""
        return self.position.update


@dataclass
class TrainingState:
    """The content of a checkpoint: tensors, numbers and text only, so that it loads without pickle.

    Attributes:
        model, optimizer, average, schedule: objects of the run.
        counters: progress of the run.
        lines: lines of metrics.jsonl so far.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: Any
    schedule: Any
    counters: Counters = field(default_factory=Counters)
    lines: list[str] = field(default_factory=list)

    def save(self, path: Path, identity: str) -> None:
        """Write the checkpoint and keep the previous one.

        Args:
            path: the file.
            identity: hash of settings, data and foundation, which must be the same in a resumed
                run.

        Raises:
            CannotWrite: the file cannot be written, or the disk is full.
        """
        content = {
            "format": FORMAT,
            "identity": identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "schedule": self.schedule.state_dict(),
            "counters": asdict(self.counters),
            "lines": self.lines,
            "torch_rng": torch.get_rng_state(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_sealed(path, buffer.getbuffer(), keep=path.with_name(PREVIOUS))

    def load(self, path: Path, identity: str) -> None:
        """Continue from a checkpoint; if it is damaged, from the previous one, with a warning.

        Args:
            path: the file.
            identity: hash of settings, data and foundation.

        Raises:
            Damaged: both checkpoints are damaged.
            PestleError: the checkpoint belongs to another run or another version.
        """
        content, trouble = _read_newest(path)
        if content.get("identity") != identity:
            raise PestleError(
                "belongs to a run with other settings, data or foundation",
                where=str(path),
                fix="Resume with the run folder's own run.yaml, or start a new run folder.",
            )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.average.load_state_dict(content["average"])
        self.schedule.load_state_dict(content["schedule"])
        counters = {"cpu_seconds": math.nan, **content["counters"]}
        self.counters = Counters(**{**counters, "position": Position(**counters["position"])})
        self.lines = list(content["lines"])
        torch.set_rng_state(content["torch_rng"])
        if trouble:
            warn(
                f"{trouble}; going on from the checkpoint before it, {PREVIOUS}, after "
                f"{counted(self.counters.step, 'update')}"
            )
            # Otherwise the next checkpoint would keep the damaged one as the previous one.
            path.unlink(missing_ok=True)


def has_checkpoint(path: Path) -> bool:
    """Whether a checkpoint or a previous checkpoint exists.

    A run may stop before its first checkpoint. If it is killed while it writes one, only the
    previous one exists.
    """
    return path.exists() or path.with_name(PREVIOUS).exists()


def updates_in(path: Path) -> int:
    """Return the number of updates done at a checkpoint; 0 without one.

    Raises:
        PestleError: the checkpoint is unreadable, or written by another version.
    """
    if not has_checkpoint(path):
        return 0
    return int(_read_newest(path)[0]["counters"]["position"]["update"])


def _read_newest(path: Path) -> tuple[dict[str, Any], str]:
    """Read a checkpoint or, if it is damaged, the previous one.

    Returns:
        The content, and what is wrong with the newest checkpoint; empty if nothing is.
    """
    try:
        return _read(path), ""
    except Damaged as error:
        trouble = error
    try:
        return _read(path.with_name(PREVIOUS)), trouble.line
    except Damaged:
        raise Damaged(
            trouble.what,
            where=trouble.where,
            fix="There is no other checkpoint to go on from: start a new run.",
        ) from None


def _read(path: Path) -> dict[str, Any]:
    """Read the content of a checkpoint file."""
    content: dict[str, Any]
    try:
        content = torch.load(io.BytesIO(read_sealed(path)), map_location="cpu", weights_only=True)
    except Damaged:
        raise
    except Exception as error:  # e.g. a pickle of another program
        raise Damaged(
            f"cannot be read as a checkpoint ({type(error).__name__})", where=str(path)
        ) from None
    if content.get("format") != FORMAT:
        raise PestleError(
            f"was written by another version of Pestle (format {content.get('format')}; this "
            f"one reads {FORMAT})",
            where=str(path),
            fix="Go on with the version that began the run, or start a new run folder.",
        )
    return content
