"""Protocol `path`: energies of models on the fixed images of a reference reaction path."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pestle.errors import PestleError
from pestle.files import write_json
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.structures.frame import Frame


def path_coordinate(images: Sequence[Frame]) -> np.ndarray:
    """Length along the path, [n_images]: the sum of the images' root-sum-square steps in Å."""
    positions = [image.atoms.positions for image in images]
    steps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(positions)]
    return np.concatenate([[0.0], np.cumsum(steps)])


def path_profile(
    images: Sequence[Frame],
    models: Mapping[str, Foundation],
    *,
    reference: str,
    title: str,
    head: str | None = None,
) -> dict[str, Any]:
    """Energy along a path by the labels and by each model, relative to its first image.

    Args:
        images: the path's images, labelled with energies.
        models: name → model.
        reference: name of the labels.
        title: of the plot.
        head: head of the models; may be left out where there is one.

    Returns:
        Curves in eV against the path length in Å; and per curve the barrier, the reaction energy
        (eV) and the RMSE against the labels over the images (meV).

    Raises:
        PestleError: fewer than three images, or one without an energy.
    """
    if len(images) < 3 or any(image.energy is None for image in images):
        raise PestleError("a path needs at least three images, each with an energy", where="path")
    curves = {reference: np.array([image.energy for image in images])}
    for name, model in models.items():
        predictions = predict_frames(model, images, head=head)
        curves[name] = np.array([p.energy for p in predictions])
    curves = {name: values - values[0] for name, values in curves.items()}
    summary = [
        {
            "model": name,
            "barrier_ev": float(values.max()),
            "reaction_energy_ev": float(values[-1]),
            "rmse_mev": float(1e3 * np.sqrt(np.mean((values - curves[reference]) ** 2))),
        }
        for name, values in curves.items()
    ]
    return {
        "title": title,
        "x_label": "path length (Å)",
        "x": path_coordinate(images).tolist(),
        "y_label": "energy relative to the first image (eV)",
        "curves": {name: values.tolist() for name, values in curves.items()},
        "reference": reference,
        "summary": summary,
    }


def write_profile(profile: Mapping[str, Any], folder: Path) -> None:
    """metrics.json of the protocol."""
    write_json(folder / "metrics.json", dict(profile))
