"""Loggers of metrics: always metrics.jsonl, TensorBoard and Weights & Biases on request."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.files import append_text, write_text
from pestle.records.metrics import MetricsLine
from pestle.settings.run import LogSettings


class MetricsFile:
    """The file metrics.jsonl, with one JSON object per evaluation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, lines: Sequence[str]) -> None:
        """Replace the content of the file by the lines of a checkpoint.

        A resumed run writes later evaluations again.

        Args:
            lines: the lines, without line ends.
        """
        write_text(self.path, "".join(line + "\n" for line in lines))

    def write(self, record: MetricsLine) -> str:
        """Append an evaluation.

        Returns:
            Its line.
        """
        line = record.line
        append_text(self.path, line + "\n")
        return line


def _numbers(record: MetricsLine) -> dict[str, float]:
    """Return the numbers of an evaluation under names joined by slashes."""
    content = record.to_json()
    del content["format"]
    return _flat(content)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    values: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            values.update(_flat(value, f"{prefix}{key}/"))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            values[prefix + key] = float(value)
    return values


class TensorBoard:
    """Writes TensorBoard events."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def write(self, record: MetricsLine) -> None:
        """Write the numbers of an evaluation."""
        for name, value in _numbers(record).items():
            self.writer.add_scalar(name, value, record.step)
        self.writer.flush()


class WeightsAndBiases:
    """Writes to a Weights & Biases run."""

    def __init__(self, project: str, folder: Path, identity: str) -> None:
        import wandb

        # A resumed run has the same id, so that it continues the same Weights & Biases run.
        self.run = wandb.init(
            project=project, dir=str(folder), name=folder.name, id=identity[:16], resume="allow"
        )

    def write(self, record: MetricsLine) -> None:
        """Write the numbers of an evaluation."""
        self.run.log(_numbers(record), step=record.step)


def require_loggers(settings: LogSettings) -> None:
    """Check that the requested loggers are installed, before time is spent on training.

    Raises:
        PestleError: one is not installed.
    """
    wanted = [("tensorboard", settings.tensorboard), ("wandb", settings.wandb is not None)]
    for extra, asked in wanted:
        if asked and importlib.util.find_spec(extra) is None:
            raise PestleError(
                f"{extra} is not installed",
                where=f"log.{extra}",
                fix=f'Install it with `pip install "pestle[{extra}]"`, or leave the setting out.',
            )


def make_loggers(
    settings: LogSettings, folder: Path, identity: str
) -> list[TensorBoard | WeightsAndBiases]:
    """Create the requested loggers, besides metrics.jsonl.

    Args:
        settings: the requested loggers.
        folder: the run folder.
        identity: hash of the run.

    Raises:
        PestleError: one is not installed.
    """
    require_loggers(settings)
    loggers: list[TensorBoard | WeightsAndBiases] = []
    if settings.tensorboard:
        loggers.append(TensorBoard(folder / "tensorboard"))
    if settings.wandb is not None:
        loggers.append(WeightsAndBiases(settings.wandb, folder, identity))
    return loggers
