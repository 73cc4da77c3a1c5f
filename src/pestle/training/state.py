"""Everything a run needs to go on as if it had never stopped, in one checkpoint file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pestle.errors import PestleError
from pestle.files import replacing
from pestle.training.mixing import Position

FORMAT = 2


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
    """What a checkpoint holds; all of it tensors, numbers and text, so it loads without pickle."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: Any
    schedule: Any
    counters: Counters = field(default_factory=Counters)

    def save(self, path: Path, identity: str) -> None:
        """Write the checkpoint.

        Args:
            path: file.
            identity: hash of settings, data and foundation that a resumed run must share.
        """
        content = {
            "format": FORMAT,
            "identity": identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "schedule": self.schedule.state_dict(),
            "counters": asdict(self.counters),
            "torch_rng": torch.get_rng_state(),
        }
        with replacing(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: Path, identity: str) -> None:
        """Continue from a checkpoint.

        Raises:
            PestleError: unreadable, or of another run.
        """
        content = _read(path)
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
        counters = content["counters"]
        self.counters = Counters(**{**counters, "position": Position(**counters["position"])})
        torch.set_rng_state(content["torch_rng"])


def updates_in(path: Path) -> int:
    """Updates that a checkpoint has done; 0 without one.

    Raises:
        PestleError: unreadable, or of another version.
    """
    return int(_read(path)["counters"]["position"]["update"]) if path.exists() else 0


def _read(path: Path) -> dict[str, Any]:
    """What a checkpoint holds."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a cut-off zip file, a foreign pickle …
        raise PestleError(
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
