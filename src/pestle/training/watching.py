"""What a training run is watched by: its clock, its peak memory, its line per evaluation."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch

from pestle.progress import duration


class Clock:
    """Seconds trained, counting those before an interruption."""

    def __init__(self, before: float) -> None:
        self._before, self._started = before, time.monotonic()

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started


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


def evaluation_line(record: dict[str, Any], updates: int) -> str:
    """One evaluation as a line of the log; `updates`: of the whole run at most."""
    done = f"update {record['step']:>{len(f'{updates:,}')},}/{updates:,}"
    own = record["valid"] if "valid" in record else record["train_frames"]
    parts = [done, f"epoch {record['epoch']:>4g}", f"loss {own['loss']:.4e}"]
    if "valid" not in record:
        parts.append("training frames:")
    parts += _errors(own)
    if "replay" in record:
        parts += ["replay:", *_errors(record["replay"])]
    if "drift" in record:
        moved = ", ".join(f"{d['forces_rmse']:.3g}" for d in record["drift"].values())
        names = "/".join(record["drift"])
        parts.append(f"drift {names} {moved} meV/Å")
    parts.append(duration(record["seconds"]))
    # Without validation every model is kept in its turn, and none is called the best.
    return "  ".join(parts) + ("  *best" if record["best"] and "valid" in record else "")


def _errors(valid: dict[str, Any]) -> list[str]:
    """RMSEs that are known."""
    return [
        f"{label} {valid[name]:.3g} {unit}"
        for name, label, unit in (
            ("energy_rmse", "E", "meV/atom"),
            ("forces_rmse", "F", "meV/Å"),
            ("stress_rmse", "S", "meV/Å³"),
        )
        if valid[name] is not None and math.isfinite(valid[name])
    ]
