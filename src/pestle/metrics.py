"""Errors of predictions against labels, by group, in the units the field reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from pestle.foundations.prediction import FramePrediction
from pestle.structures.frame import Frame
from pestle.views import Table, figure

#: The group of all frames.
ALL = "all"
#: name → unit, in the order tables show them.
UNITS = {
    "energy_rmse": "meV/atom",
    "energy_mae": "meV/atom",
    "forces_rmse": "meV/Å",
    "forces_mae": "meV/Å",
    "stress_rmse": "meV/Å³",
    "stress_mae": "meV/Å³",
}


class FrameErrors(BaseModel):
    """Errors over some frames; `None` where no frame has the label.

    Attributes:
        n_frames: their number.
        energy_rmse, energy_mae: over frames, meV/atom.
        forces_rmse, forces_mae: over components, meV/Å.
        stress_rmse, stress_mae: over components, meV/Å³.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_frames: int
    energy_rmse: float | None = None
    energy_mae: float | None = None
    forces_rmse: float | None = None
    forces_mae: float | None = None
    stress_rmse: float | None = None
    stress_mae: float | None = None

    @property
    def figures(self) -> dict[str, float | None]:
        """The errors by the names of `UNITS`, for tables that show all of them."""
        return {name: getattr(self, name) for name in UNITS}


def error_table(title: str, models: Mapping[str, Mapping[str, FrameErrors]]) -> Table:
    """Errors side by side; quantities that no frame has a label of are left out.

    Args:
        title: of the table.
        models: model → group → errors; the groups are the same for each model.
    """
    shown = [
        name
        for name in UNITS
        if any(e.figures[name] is not None for groups in models.values() for e in groups.values())
    ]
    groups = dict.fromkeys(group for by_group in models.values() for group in by_group)
    rows = [
        [group, model, str(by_group[group].n_frames)]
        + [figure(by_group[group].figures[name]) for name in shown]
        for group in groups
        for model, by_group in models.items()
    ]
    headings = [f"{name.replace('_', ' ')}\n{UNITS[name]}" for name in shown]
    return Table(title, ["group", "model", "frames", *headings], rows, figures=1 + len(shown))


def _rmse_mae(parts: list[np.ndarray]) -> tuple[float | None, float | None]:
    """RMSE and MAE in thousandths over all entries; `None` without any."""
    if not parts:
        return None, None
    values = 1e3 * np.concatenate([np.ravel(p) for p in parts])
    return float(np.sqrt(np.mean(values**2))), float(np.mean(np.abs(values)))


def frame_errors(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> FrameErrors:
    """Errors over some frames, energies per atom.

    Args:
        frames: with labels.
        predictions: of each of them.
    """
    energy, forces, stress = [], [], []
    for frame, prediction in zip(frames, predictions, strict=True):
        if frame.energy is not None:
            energy.append(np.array([(prediction.energy - frame.energy) / len(frame)]))
        if frame.forces is not None:
            forces.append(prediction.forces - frame.forces)
        if frame.stress is not None and prediction.stress is not None:
            stress.append(prediction.stress - frame.stress)
    energy_rmse, energy_mae = _rmse_mae(energy)
    forces_rmse, forces_mae = _rmse_mae(forces)
    stress_rmse, stress_mae = _rmse_mae(stress)
    return FrameErrors(
        n_frames=len(frames),
        energy_rmse=energy_rmse,
        energy_mae=energy_mae,
        forces_rmse=forces_rmse,
        forces_mae=forces_mae,
        stress_rmse=stress_rmse,
        stress_mae=stress_mae,
    )


def errors_by_group(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, FrameErrors]:
    """`all` and every `config_type`, in order of first appearance, → errors."""
    groups: dict[str, list[int]] = {ALL: list(range(len(frames)))}
    for k, frame in enumerate(frames):
        # A config_type that is called "all" must not hide the total.
        name = frame.config_type if frame.config_type != ALL else "all (config_type)"
        groups.setdefault(name, []).append(k)
    return {
        name: frame_errors([frames[k] for k in members], [predictions[k] for k in members])
        for name, members in groups.items()
    }
