"""Errors of predictions against labels by group, in meV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from pestle.structures.frame import Frame
from pestle.views import Table, figure

if TYPE_CHECKING:  # records of errors are read without torch
    from pestle.foundations.prediction import FramePrediction
from pestle.wording import counted

#: The group of all frames.
ALL = "all"
#: The `config_type` of frames without one.
NO_GROUP = "Default"
#: Name of an error → its unit, in the order of tables.
UNITS = {
    "energy_rmse": "meV/atom",
    "energy_mae": "meV/atom",
    "forces_rmse": "meV/Å",
    "forces_mae": "meV/Å",
    "stress_rmse": "meV/Å³",
    "stress_mae": "meV/Å³",
}


class FrameErrors(BaseModel):
    """Errors on some frames; `None` if no frame has the label.

    Attributes:
        n_frames: number of frames.
        energy_rmse, energy_mae: RMSE and MAE of energies per atom, over frames (meV/atom).
        forces_rmse, forces_mae: of force components (meV/Å).
        stress_rmse, stress_mae: of stress components (meV/Å³).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_frames: int
    energy_rmse: float | None = None
    energy_mae: float | None = None
    forces_rmse: float | None = None
    forces_mae: float | None = None
    stress_rmse: float | None = None
    stress_mae: float | None = None

    def __repr__(self) -> str:
        said = [
            f"{name.replace('_', ' ').replace('rmse', 'RMSE').replace('mae', 'MAE')} "
            f"{figure(value)} {UNITS[name]}"
            for name, value in self.figures.items()
            if value is not None
        ]
        return f"<{', '.join([counted(self.n_frames, 'frame'), *said])}>"

    @property
    def figures(self) -> dict[str, float | None]:
        """The errors by name, in the order of `UNITS`."""
        return {name: getattr(self, name) for name in UNITS}


def error_table(title: str, models: Mapping[str, Mapping[str, FrameErrors]]) -> Table:
    """Return a table of the errors of several models; quantities without labels are left out.

    Args:
        title: title of the table.
        models: model → group → errors; all models have the same groups.
    """
    shown = [
        name
        for name in UNITS
        if any(e.figures[name] is not None for groups in models.values() for e in groups.values())
    ]
    groups = list(dict.fromkeys(group for by_group in models.values() for group in by_group))
    if len(groups) == 2 and ALL in groups:  # the only group says the same as all frames
        groups.remove(ALL if NO_GROUP not in groups else NO_GROUP)
    by = ["group"] if groups != [ALL] else []
    rows = [
        [group] * len(by)
        + [model, str(by_group[group].n_frames)]
        + [figure(by_group[group].figures[name]) for name in shown]
        for group in groups
        for model, by_group in models.items()
    ]
    headings = [
        f"{name.partition('_')[0]} {name.rpartition('_')[2].upper()}\n{UNITS[name]}"
        for name in shown
    ]
    return Table(title, [*by, "model", "frames", *headings], rows, figures=1 + len(shown))


def compact_error_table(
    sets: Mapping[str, Mapping[str, Mapping[str, FrameErrors]]], *, groups: bool = False
) -> Table:
    """Return a table of RMSEs on several sets; a cell is `before → after`.

    Args:
        sets: set → two models, the one before training first → group → errors.
        groups: whether a set with several groups gets a row for each of them.
    """
    pairs = {name: tuple(models.values()) for name, models in sets.items()}
    shown = [
        name
        for name in ("energy_rmse", "forces_rmse", "stress_rmse")
        if any(of[ALL].figures[name] is not None for models in pairs.values() for of in models)
    ]
    rows = []
    for set_name, (before, after) in pairs.items():
        several = groups and len(after) > 2
        for group in after if several else (ALL,):
            old, new = before[group].figures, after[group].figures
            rows.append(
                [
                    set_name if group == ALL else f"  {group}",
                    str(after[group].n_frames),
                    *(_change(old[name], new[name]) for name in shown),
                ]
            )
    headings = [f"{name.removesuffix('_rmse')}, {UNITS[name]}" for name in shown]
    title = "errors (RMSE), foundation → fine-tuned"
    return Table(title, ["set", "frames", *headings], rows, figures=1 + len(shown))


def is_rounding(error: float | None) -> bool:
    """Whether an error is that of the arithmetic: a model against labels of its own.

    Args:
        error: in meV/atom, meV/Å or meV/Å³.
    """
    return error is not None and abs(error) < 1e-3


def _change(before: float | None, after: float | None) -> str:
    """Return `before → after`, with 0 for errors of arithmetic, or a dash for no error at all."""
    if before is None and after is None:
        return figure(None)
    return " → ".join("0" if is_rounding(one) else figure(one, 3) for one in (before, after))


def _rmse_mae(parts: list[np.ndarray]) -> tuple[float | None, float | None]:
    """Return RMSE and MAE of all entries, times 1000 (eV to meV); `None` without entries."""
    if not parts:
        return None, None
    values = 1e3 * np.concatenate([np.ravel(p) for p in parts])
    return float(np.sqrt(np.mean(values**2))), float(np.mean(np.abs(values)))


def frame_errors(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> FrameErrors:
    """Return the errors of predictions; errors of energies are per atom.

    Args:
        frames: the labelled frames; energies in eV, forces [n_atoms, 3] in eV/Å, stress [3, 3] in
            eV/Å³.
        predictions: the prediction for each frame, in the same units.
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
    """Return the errors by group: `all`, then each `config_type` in the order of appearance.

    Args:
        frames, predictions: as in `frame_errors`.

    Returns:
        Group → its errors.
    """
    groups: dict[str, list[int]] = {ALL: list(range(len(frames)))}
    for k, frame in enumerate(frames):
        # A config_type that is called "all" must not hide the total.
        name = frame.config_type if frame.config_type != ALL else "all (config_type)"
        groups.setdefault(name, []).append(k)
    return {
        name: frame_errors([frames[k] for k in members], [predictions[k] for k in members])
        for name, members in groups.items()
    }
