"""Everything a run needs to go on as if it had never stopped, in one checkpoint file.

The checkpoint before it is kept as `previous.pt`, for the day on which the newest is damaged.
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
from pestle.progress import say
from pestle.training.mixing import Position

FORMAT = 3
#: The checkpoint before the newest, beside it.
PREVIOUS = "previous.pt"


@dataclass
class Counters:
    """Where a run stands.

    Attributes:
        position: updates done, and where the streams of frames stand.
        best, best_update: best value of the metric that chooses the model, and the update after
            which it was found; −1 before the first evaluation.
        best_without_budget, best_update_without_budget: the same, had drift not mattered.
        second_stage: updates before the second stage of the loss; −1 while it has not begun.
        waited: evaluations since then.
        evaluations: lines in metrics.jsonl.
        seconds: time spent training, interruptions left out.
        cpu_seconds: the same as processor time, of all threads; NaN after a checkpoint of an
            earlier version, which does not say it.
        loss_sum, loss_batches: training loss since the last evaluation.
        norm_sum: sum of its gradient norms.
        finished: why training ended, once it has.
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
        """Updates done."""
        return self.position.update


@dataclass
class TrainingState:
    """What a checkpoint holds; all of it tensors, numbers and text, so it loads without pickle.

    Attributes:
        model, optimizer, average, schedule: of the run.
        counters: where it stands.
        lines: of metrics.jsonl so far.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: Any
    schedule: Any
    counters: Counters = field(default_factory=Counters)
    lines: list[str] = field(default_factory=list)

    def save(self, path: Path, identity: str) -> None:
        """Write the checkpoint, and keep the one before it.

        Args:
            path: file.
            identity: hash of settings, data and foundation that a resumed run must share.

        Raises:
            CannotWrite: the system refuses, or the disk is full.
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
        """Continue from a checkpoint, or from the one before it where the newest is damaged; says
        so.

        Raises:
            Damaged: both are.
            PestleError: it is of another run or another version.
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
            say(
                f"warning: {trouble}; going on from the checkpoint before it, {PREVIOUS}, after "
                f"{self.counters.step:,} updates"
            )
            path.unlink(missing_ok=True)  # or the next checkpoint would make it the previous one


def has_checkpoint(path: Path) -> bool:
    """Whether there is something to go on from: a run may be killed before its first checkpoint,
    or between two, when only the older one has its name."""
    return path.exists() or path.with_name(PREVIOUS).exists()


def updates_in(path: Path) -> int:
    """Updates that a checkpoint has done; 0 without one.

    Raises:
        PestleError: unreadable, or of another version.
    """
    if not has_checkpoint(path):
        return 0
    return int(_read_newest(path)[0]["counters"]["position"]["update"])


def _read_newest(path: Path) -> tuple[dict[str, Any], str]:
    """What a checkpoint holds, or the one before it; and what is wrong with the newest, if that is
    so."""
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
    """What a checkpoint holds."""
    content: dict[str, Any]
    try:
        content = torch.load(io.BytesIO(read_sealed(path)), map_location="cpu", weights_only=True)
    except Damaged:
        raise
    except Exception as error:  # a foreign pickle …
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
