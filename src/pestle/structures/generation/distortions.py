"""Distortions of structures: strain, rattling, and compression onto the repulsive wall."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from pestle.structures.generation.spacing import (
    OVERLAP,
    WALL,
    contacts,
    covalent_sums,
    nearest,
)

#: Volume of ordinary periodic structures over the guess: about ± 10 GPa of a hard solid on the
#: dense side, a hot or loosely packed one on the other.
VOLUMES = (0.85, 1.3)

#: Standard deviation of each component of the strain tensor; twice this is the most.
STRAIN = 0.04

#: Standard deviation of a displacement along x, y and z over the shortest distance. A crystal melts
#: where the root mean square in 3D is 0.10 to 0.15 of it (Lindemann): 0.06 to 0.09 here.
RATTLE = (0.005, 0.07)

#: Closest distance of compressed structures over the covalent sum.
COMPRESSED = (0.5, WALL)


def scaled(atoms: Atoms, factor: float) -> Atoms:
    """A copy with all lengths times a factor."""
    atoms = atoms.copy()
    if atoms.pbc.any():
        atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    else:
        atoms.positions *= factor
    return atoms


def strained(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy under a random strain of all six components; the volume stays."""
    atoms = atoms.copy()
    strain = np.clip(rng.normal(scale=STRAIN, size=(3, 3)), -2 * STRAIN, 2 * STRAIN)
    deformation = np.eye(3) + (strain + strain.T) / 2
    deformation /= np.cbrt(np.linalg.det(deformation))
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return atoms


def rattled(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """A copy with normal displacements of a standard deviation in Å along x, y and z."""
    atoms = atoms.copy()
    atoms.positions += rng.normal(scale=amplitude, size=(len(atoms), 3))
    return atoms


def distorted(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """An ordinary crystal: another volume in VOLUMES, strained and rattled, no contact below WALL.

    Args:
        atoms: a periodic structure at its guessed volume.
        rng: the source of the draws.
    """
    crystal = strained(scaled(atoms, np.cbrt(rng.uniform(*VOLUMES))), rng)
    amplitude = rng.uniform(*RATTLE) * nearest(crystal)
    for _ in range(4):
        moved = rattled(crystal, amplitude, rng)
        if nearest(moved, contacts()) >= WALL:
            return moved
        amplitude /= 2
    # Strain or volume alone went below the bound: give it the room it lacks.
    return scaled(moved, max(1.0, 1.001 * WALL / nearest(moved, contacts())))


def compressed(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy scaled down, closest distance in COMPRESSED of the covalent sum and below WALL.

    Args:
        atoms: any structure of two atoms or more, or periodic.
        rng: the source of the draw.
    """
    # Where contacts are shorter than the covalent sum (d and f metals), the wall starts later.
    ratio = nearest(atoms, covalent_sums())
    onset = min(COMPRESSED[1], WALL * ratio / nearest(atoms, contacts()))
    return scaled(atoms, rng.uniform(max(COMPRESSED[0], OVERLAP), onset) / ratio)
