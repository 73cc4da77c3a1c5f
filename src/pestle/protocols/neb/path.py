"""Lengths of reaction paths, and interpolation of images along a path."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.constraints import FixAtoms
from ase.geometry import find_mic


def displacement(start: Atoms, end: Atoms) -> np.ndarray:
    """Return the displacement of each atom from one structure to another.

    Args:
        start, end: structures with the same atoms in the same order.

    Returns:
        [n_atoms, 3] Å; the shortest vector between periodic images.
    """
    step = end.positions - start.positions
    return find_mic(step, start.cell, start.pbc)[0] if start.pbc.any() else step


def path_length(images: Sequence[Atoms]) -> np.ndarray:
    """Return the length along the path at each image.

    Args:
        images: images without jumps across a periodic cell.

    Returns:
        [n_images] Å. The step between two images is the root of the summed squared displacements of
        all atoms.
    """
    steps = [np.linalg.norm(displacement(a, b)) for a, b in itertools.pairwise(images)]
    return np.concatenate([[0.0], np.cumsum(steps)])


def turned(start: Atoms, end: Atoms) -> Atoms:
    """Return a copy of `end`, rotated and shifted for the best overlap with `start`.

    This is done only if it does not change the energy: several atoms, none fixed, not periodic.
    Otherwise the copy is unchanged.

    Args:
        start, end: structures with the same atoms in the same order.
    """
    copy = end.copy()
    if len(start) > 1 and not start.pbc.any() and not start.constraints:
        minimize_rotation_and_translation(start, copy)
    return copy


def fixed_atoms(atoms: Atoms) -> list[int]:
    """Return the indices of the atoms that a constraint holds fixed."""
    held = [c.index.tolist() for c in atoms.constraints if isinstance(c, FixAtoms)]
    return [int(k) for indices in held for k in indices]


def chained(images: Sequence[Atoms]) -> list[Atoms]:
    """Return copies of the images, each aligned with the previous one.

    Jumps across a periodic cell are removed. Fixed atoms keep their positions of the first image.
    """
    found = [images[0].copy()]
    for image in images[1:]:
        copy = turned(found[-1], image)
        step = displacement(found[-1], copy)
        step[fixed_atoms(images[0])] = 0.0
        copy.set_positions(found[-1].positions + step, apply_constraint=False)
        found.append(copy)
    return found


def resampled(images: Sequence[Atoms], count: int) -> list[Atoms]:
    """Return `count` images that are evenly spaced along the straight lines between the given
    images.

    Args:
        images: images without jumps across a periodic cell; the first and the last are kept.
        count: number of images, including both ends.
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
