"""Weight interpolation in a run, between its starting model and its best trained model.

The trained model is stored beside the checkpoint. The model folder is always written from it, also
if a run ends several times, so that no model is interpolated twice.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch

from pestle.files import read_sealed, write_sealed
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.progress import say
from pestle.records.metrics import EvaluatedErrors
from pestle.records.parts import CurvePoint, InterpolationFacts
from pestle.training.keepers.interpolation import GRID, Interpolation, choose
from pestle.training.loop import Trainer


def save_child(path: Path, child: Foundation, trainable: tuple[str, ...]) -> None:
    """Store the trained weights of a model.

    Args:
        path: file to write.
        child: the trained model.
        trainable: names of its trained parameters.
    """
    named = dict(child.named_parameters())
    buffer = io.BytesIO()
    torch.save({name: named[name].detach().cpu() for name in trainable}, buffer)
    write_sealed(path, buffer.getbuffer())


def interpolate(
    trainer: Trainer, line: Interpolation, child_file: Path
) -> tuple[InterpolationFacts, EvaluatedErrors]:
    """Set the trainer's model to a point between the starting model and the trained model.

    Args:
        trainer: the trainer after training; its model becomes the model to keep.
        line: made from the model before its first update.
        child_file: the file that `save_child` wrote for the best model.

    Returns:
        The chosen point with all points that were tried, and the errors at the chosen point on the
        evaluated frames.
    """
    keep, budget = trainer.settings.keep, trainer.settings.train.max_drift
    auto = keep.interpolate == "auto"
    stored = io.BytesIO(read_sealed(child_file))
    child = torch.load(stored, map_location="cpu", weights_only=True)
    asked = GRID if auto else tuple(sorted({0.0, float(keep.interpolate or 0.0), 1.0}))
    found = {a: _figures(trainer, line, child, a) for a in asked}
    a = (
        float(keep.interpolate or 0.0)
        if not auto
        else choose(
            {
                a: math.inf if valid.loss is None else valid.loss
                for a, (valid, drift) in found.items()
                if budget is None or drift is None or drift <= budget
            },
            keep.interpolate_tolerance,
        )
    )
    line.put(trainer.model, child, a)
    valid, drift = found[a]
    whose = "training" if trainer.settings.data.no_validation else "validation"
    say(
        f"interpolation: {a:g} of the way from the start to what was trained; {whose} forces "
        f"{_forces(valid)} (start {_forces(found[0.0][0])}, trained {_forces(found[1.0][0])})"
        + ("" if drift is None else f", drift {drift:.1f} (trained {found[1.0][1]:.1f}) meV/Å")
    )
    curve = tuple(
        CurvePoint(
            coefficient=at,
            loss=figures.loss,
            energy_rmse=figures.energy_rmse,
            forces_rmse=figures.forces_rmse,
            drift=moved,
        )
        for at, (figures, moved) in found.items()
    )
    return InterpolationFacts(coefficient=a, chosen=auto, drift=drift, curve=curve), valid


def _figures(
    trainer: Trainer, line: Interpolation, child: dict[str, torch.Tensor], a: float
) -> tuple[EvaluatedErrors, float | None]:
    """Return validation errors of the target head and drift of its forces (meV/Å) at a
    coefficient.
    """
    line.put(trainer.model, child, a)
    data = trainer.data
    valid = trainer.objective.evaluate(
        trainer.model, data.valid_frames, data.valid_graphs, trainer.weights
    )
    drift = trainer.evaluator.drift
    if drift is None:
        return valid, None
    return valid, drift.measure(trainer.model)[TARGET_HEAD].forces_rmse


def _forces(figures: EvaluatedErrors) -> str:
    value = figures.forces_rmse
    return "unknown" if value is None else f"{value:.1f} meV/Å"
