"""Errors of predictions against labels, by group, in the units the field reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.structures.frame import Frame

#: name → unit, in the order tables show them.
UNITS = {
    "energy_rmse": "meV/atom",
    "energy_mae": "meV/atom",
    "forces_rmse": "meV/Å",
    "forces_mae": "meV/Å",
    "stress_rmse": "meV/Å³",
    "stress_mae": "meV/Å³",
}


def _rmse_mae(parts: list[np.ndarray]) -> tuple[float | None, float | None]:
    """RMSE and MAE in thousandths over all entries; `None` without any."""
    if not parts:
        return None, None
    values = 1e3 * np.concatenate([np.ravel(p) for p in parts])
    return float(np.sqrt(np.mean(values**2))), float(np.mean(np.abs(values)))


def frame_errors(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> dict[str, Any]:
    """Errors over some frames: RMSE over frames (energy per atom) and components (forces, stress).

    Returns:
        `n_frames` and the entries of `UNITS`; `None` where no frame has the label.
    """
    energy, forces, stress = [], [], []
    for frame, prediction in zip(frames, predictions, strict=True):
        if frame.energy is not None:
            energy.append(np.array([(prediction.energy - frame.energy) / len(frame)]))
        if frame.forces is not None:
            forces.append(prediction.forces - frame.forces)
        if frame.stress is not None and prediction.stress is not None:
            stress.append(prediction.stress - frame.stress)
    result: dict[str, Any] = {"n_frames": len(frames)}
    for name, parts in (("energy", energy), ("forces", forces), ("stress", stress)):
        result[f"{name}_rmse"], result[f"{name}_mae"] = _rmse_mae(parts)
    return result


def errors_by_group(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, dict[str, Any]]:
    """`all` and every `config_type`, in order of first appearance, → `frame_errors`."""
    groups: dict[str, list[int]] = {"all": list(range(len(frames)))}
    for k, frame in enumerate(frames):
        # A config_type that is called "all" must not hide the total.
        name = frame.config_type if frame.config_type != "all" else "all (config_type)"
        groups.setdefault(name, []).append(k)
    return {
        name: frame_errors([frames[k] for k in members], [predictions[k] for k in members])
        for name, members in groups.items()
    }
