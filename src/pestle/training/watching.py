"""Clock, peak memory and log lines of a training run."""

from __future__ import annotations

import math
import sys
import time

import torch

from pestle.progress import duration
from pestle.records.metrics import EvaluatedErrors, MetricsLine
from pestle.wording import figure


class Clock:
    """Measures training time, including the time before an interruption.

    Args:
        before: seconds of training before an interruption.
        cpu_before: processor time of training before an interruption (s).
    """

    def __init__(self, before: float, cpu_before: float) -> None:
        self._before, self._started = before, time.monotonic()
        self._cpu_before, self._cpu_started = cpu_before, time.process_time()

    def seconds(self) -> float:
        """Return the training time so far."""
        return self._before + time.monotonic() - self._started

    def cpu_seconds(self) -> float:
        """Return the processor time of all threads of this process so far (s)."""
        return self._cpu_before + time.process_time() - self._cpu_started


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in MiB: torch's on a GPU, otherwise the process's.

    Returns:
        The memory; NaN if the system does not tell it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def evaluation_line(record: MetricsLine, updates: int) -> str:
    """Return the line of the log for one evaluation.

    Args:
        record: the evaluation.
        updates: largest number of updates of the run.
    """
    done = f"update {record.step:>{len(f'{updates:,}')},}/{updates:,}"
    own = record.watched
    parts = [done, f"epoch {record.epoch:>4g}", f"loss {_number(own.loss):.4e}"]
    if record.valid is None:
        parts.append("training frames:")
    parts += errors_in_words(own)
    if record.replay is not None:
        parts += ["replay:", *errors_in_words(record.replay)]
    if record.drift is not None:
        moved = ", ".join(figure(_number(d.forces_rmse)) for d in record.drift.values())
        parts.append(f"drift {'/'.join(record.drift)} {moved} meV/Å")
    parts.append(duration(record.seconds))
    # Without validation each new model replaces the last one, and none is called the best.
    return "  ".join(parts) + ("  *best" if record.best and record.valid is not None else "")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def errors_in_words(found: EvaluatedErrors) -> list[str]:
    """Return the known RMSEs as text, `F 71.8 meV/Å`."""
    return [
        f"{label} {figure(value)} {unit}"
        for value, label, unit in (
            (found.energy_rmse, "E", "meV/atom"),
            (found.forces_rmse, "F", "meV/Å"),
            (found.stress_rmse, "S", "meV/Å³"),
        )
        if value is not None and math.isfinite(value)
    ]
