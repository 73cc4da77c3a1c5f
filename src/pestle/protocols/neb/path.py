"""Reaction paths: their length, images along it, and energies of models on fixed images."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.constraints import FixAtoms
from ase.geometry import find_mic

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.structures.frame import Frame


def displacement(start: Atoms, end: Atoms) -> np.ndarray:
    """[n_atoms, 3] Å from one structure to another, by the nearest images where periodic."""
    step = end.positions - start.positions
    return find_mic(step, start.cell, start.pbc)[0] if start.pbc.any() else step


def path_length(images: Sequence[Atoms]) -> np.ndarray:
    """Length along the path, [n_images]: the sum of the images' root-sum-square steps in Å."""
    steps = [np.linalg.norm(displacement(a, b)) for a, b in itertools.pairwise(images)]
    return np.concatenate([[0.0], np.cumsum(steps)])


def path_coordinate(images: Sequence[Frame]) -> np.ndarray:
    """`path_length` of frames."""
    return path_length([image.atoms for image in images])


def turned(start: Atoms, end: Atoms) -> Atoms:
    """A copy of `end`, turned and shifted onto `start` where that leaves its energy alone: several
    atoms, free and not periodic."""
    copy = end.copy()
    if len(start) > 1 and not start.pbc.any() and not start.constraints:
        minimize_rotation_and_translation(start, copy)
    return copy


def fixed_atoms(atoms: Atoms) -> list[int]:
    """Atoms that a constraint holds where they are."""
    held = [c.index.tolist() for c in atoms.constraints if isinstance(c, FixAtoms)]
    return [int(k) for indices in held for k in indices]


def chained(images: Sequence[Atoms]) -> list[Atoms]:
    """Copies, each turned onto the one before, and without jumps across a periodic cell; fixed
    atoms stay where the first one has them."""
    found = [images[0].copy()]
    for image in images[1:]:
        copy = turned(found[-1], image)
        step = displacement(found[-1], copy)
        step[fixed_atoms(images[0])] = 0.0
        copy.set_positions(found[-1].positions + step, apply_constraint=False)
        found.append(copy)
    return found


def resampled(images: Sequence[Atoms], count: int) -> list[Atoms]:
    """`count` images evenly spaced in length along the straight pieces between the given ones.

    Args:
        images: without jumps across a periodic cell; the ends are kept.
        count: ends included.
    """
    length = path_length(images)
    positions = np.stack([image.positions for image in images])
    found = []
    for k, at in enumerate(np.linspace(0.0, length[-1], count)):
        piece = min(int(np.searchsorted(length, at, side="right")) - 1, len(images) - 2)
        width = length[piece + 1] - length[piece]
        share = (at - length[piece]) / width if width > 0 else 0.0
        copy = images[0].copy()
        between = positions[piece] + share * (positions[piece + 1] - positions[piece])
        if k in (0, count - 1):
            between = positions[0 if k == 0 else -1]
        copy.set_positions(between, apply_constraint=False)
        found.append(copy)
    return found


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
