"""What a training run is watched by: its clock, its peak memory, its line per evaluation."""

from __future__ import annotations

import math
import sys
import time

import torch

from pestle.progress import duration
from pestle.records.metrics import EvaluatedErrors, MetricsLine


class Clock:
    """Seconds trained, counting those before an interruption.

    Args:
        before: seconds before it.
        cpu_before: the same as processor time.
    """

    def __init__(self, before: float, cpu_before: float) -> None:
        self._before, self._started = before, time.monotonic()
        self._cpu_before, self._cpu_started = cpu_before, time.process_time()

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def cpu_seconds(self) -> float:
        """Processor time, of all threads of this process."""
        return self._cpu_before + time.process_time() - self._cpu_started


def peak_memory(device: torch.device) -> float:
    """Peak memory in MiB: torch's on a GPU, else the process's (NaN if the system has no say)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def evaluation_line(record: MetricsLine, updates: int) -> str:
    """One evaluation as a line of the log; `updates`: of the whole run at most."""
    done = f"update {record.step:>{len(f'{updates:,}')},}/{updates:,}"
    own = record.watched
    parts = [done, f"epoch {record.epoch:>4g}", f"loss {_number(own.loss):.4e}"]
    if record.valid is None:
        parts.append("training frames:")
    parts += _errors(own)
    if record.replay is not None:
        parts += ["replay:", *_errors(record.replay)]
    if record.drift is not None:
        moved = ", ".join(f"{_number(d.forces_rmse):.3g}" for d in record.drift.values())
        parts.append(f"drift {'/'.join(record.drift)} {moved} meV/Å")
    parts.append(duration(record.seconds))
    # Without validation every model is kept in its turn, and none is called the best.
    return "  ".join(parts) + ("  *best" if record.best and record.valid is not None else "")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _errors(found: EvaluatedErrors) -> list[str]:
    """RMSEs that are known."""
    return [
        f"{label} {value:.3g} {unit}"
        for value, label, unit in (
            (found.energy_rmse, "E", "meV/atom"),
            (found.forces_rmse, "F", "meV/Å"),
            (found.stress_rmse, "S", "meV/Å³"),
        )
        if value is not None and math.isfinite(value)
    ]
