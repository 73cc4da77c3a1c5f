"""Where metrics go: metrics.jsonl always, TensorBoard and Weights & Biases when asked."""

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
    """metrics.jsonl: one JSON object per evaluation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, lines: Sequence[str]) -> None:
        """Hold these lines and no others: those of a checkpoint, whatever has become of the file
        since. A resumed run will write the later ones again."""
        write_text(self.path, "".join(line + "\n" for line in lines))

    def write(self, record: MetricsLine) -> str:
        """Add an evaluation; returns its line."""
        line = record.line
        append_text(self.path, line + "\n")
        return line


def _numbers(record: MetricsLine) -> dict[str, float]:
    """What is measured, under slash-joined names."""
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
    """TensorBoard events, as torch writes them."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def write(self, record: MetricsLine) -> None:
        for name, value in _numbers(record).items():
            self.writer.add_scalar(name, value, record.step)
        self.writer.flush()


class WeightsAndBiases:
    """A Weights & Biases run."""

    def __init__(self, project: str, folder: Path, identity: str) -> None:
        import wandb

        # The same id when the run is resumed: one run there, too.
        self.run = wandb.init(
            project=project, dir=str(folder), name=folder.name, id=identity[:16], resume="allow"
        )

    def write(self, record: MetricsLine) -> None:
        self.run.log(_numbers(record), step=record.step)


def require_loggers(settings: LogSettings) -> None:
    """What was asked for must be installed, before an hour of training is spent.

    Raises:
        PestleError: an extra is missing.
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
    """The loggers that were asked for, besides metrics.jsonl; `identity` is the run's hash."""
    require_loggers(settings)
    loggers: list[TensorBoard | WeightsAndBiases] = []
    if settings.tensorboard:
        loggers.append(TensorBoard(folder / "tensorboard"))
    if settings.wandb is not None:
        loggers.append(WeightsAndBiases(settings.wandb, folder, identity))
    return loggers
