"""Protocol `errors`: predictions against labels by group, and the points of the parity plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pestle.files import write_json
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.metrics import errors_by_group
from pestle.progress import Task, progress
from pestle.structures.frame import Frame

#: Force components kept for a parity plot of a set; more cannot be told apart on a page.
MAX_PARITY_POINTS = 3000


@dataclass
class ErrorResults:
    """Errors of several models on several sets.

    Attributes:
        sets: set → model → group → errors (`metrics.frame_errors`).
        parity: set → model → points of the parity plots.
        labels: model → how the report calls it.
    """

    sets: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    parity: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """metrics.json and parity.json."""
        write_json(folder / "metrics.json", {"sets": self.sets, "labels": self.labels})
        write_json(folder / "parity.json", self.parity)


def add_model(
    results: ErrorResults,
    name: str,
    model: Foundation,
    sets: Mapping[str, Sequence[Frame]],
    *,
    head: str | None = None,
    label: str = "",
    max_edges: int | None = None,
) -> None:
    """Predict every set with a model and add its errors and parity points.

    Args:
        results: added to.
        name: the model's name in the results.
        model: predicts.
        sets: set name → frames.
        head: head of the model.
        label: how the report calls the model; its name if empty.
        max_edges: edges in a batch; by default the architecture's `batch_edges`.
    """
    results.labels[name] = label or name
    total = sum(len(frames) for frames in sets.values())
    done = 0
    with progress(f"evaluating {name}", max(1, total)) as bar:
        for set_name, frames in sets.items():
            if not frames:
                continue
            predictions = predict_frames(
                model,
                frames,
                head=head,
                max_edges=max_edges,
                on_progress=partial(_advance, bar, done),
            )
            done += len(frames)
            results.sets.setdefault(set_name, {})[name] = errors_by_group(frames, predictions)
            points = parity_points(frames, predictions)
            results.parity.setdefault(set_name, {})[name] = points


def _advance(bar: Task, before: int, count: int) -> None:
    bar.to(before + count)


def parity_points(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, list[Any]]:
    """Label and prediction of interaction energies (eV/atom) and force components (eV/Å).

    The prediction's reference sum is taken off both energies: totals of different compositions
    would hide every error. Force components are thinned evenly to `MAX_PARITY_POINTS`.
    """
    points: dict[str, list[Any]] = {
        "energy_ref": [],
        "energy_pred": [],
        "energy_group": [],
        "forces_ref": [],
        "forces_pred": [],
    }
    reference, predicted = [], []
    for frame, prediction in zip(frames, predictions, strict=True):
        if frame.energy is not None:
            baseline = prediction.energy - prediction.interaction_energy
            points["energy_ref"].append((frame.energy - baseline) / len(frame))
            points["energy_pred"].append(prediction.interaction_energy / len(frame))
            points["energy_group"].append(frame.config_type)
        if frame.forces is not None:
            reference.append(frame.forces.ravel())
            predicted.append(prediction.forces.ravel())
    if reference:
        label, value = np.concatenate(reference), np.concatenate(predicted)
        stride = max(1, -(-len(label) // MAX_PARITY_POINTS))
        points["forces_ref"] = [round(float(x), 6) for x in label[::stride]]
        points["forces_pred"] = [round(float(x), 6) for x in value[::stride]]
    return points
