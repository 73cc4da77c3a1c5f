"""Reaction paths: their length, and images along it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.constraints import FixAtoms
from ase.geometry import find_mic


def displacement(start: Atoms, end: Atoms) -> np.ndarray:
    """[n_atoms, 3] Å from one structure to another, by the nearest images where periodic."""
    step = end.positions - start.positions
    return find_mic(step, start.cell, start.pbc)[0] if start.pbc.any() else step


def path_length(images: Sequence[Atoms]) -> np.ndarray:
    """Length along the path, [n_images]: the sum of the images' root-sum-square steps in Å."""
    steps = [np.linalg.norm(displacement(a, b)) for a, b in itertools.pairwise(images)]
    return np.concatenate([[0.0], np.cumsum(steps)])


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
