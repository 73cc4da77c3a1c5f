"""Distortions of structures: strain, rattling, and compression to short distances."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from pestle.structures.generation.spacing import (
    WALL,
    contacts,
    covalent_sums,
    nearest,
    neighbours,
    volume_guess,
)

#: Volume of ordinary periodic structures over the guess: from some 20 GPa for a bulk modulus of
#: 100 GPa to a hot or loosely packed solid.
VOLUMES = (0.85, 1.3)

#: Standard deviation of each component of the strain tensor; twice this is the most.
STRAIN = 0.04

#: Standard deviation of a displacement along x, y and z over the shortest distance. A crystal melts
#: where the root mean square in 3D is 0.10 to 0.15 of it (Lindemann): 0.06 to 0.09 here.
RATTLE = (0.005, 0.07)

#: Closest distance of compressed structures over the covalent sum. Half of them lie in the upper
#: eighth of the range: near its lower end forces exceed 50 eV/Å, where a foundation extrapolates.
COMPRESSED = (0.5, WALL)

#: Volume of compressed structures over the guess, at the least. Scaling alone would press oxygen to
#: a fifteenth of its volume before its atoms are that near: nothing to learn from.
PRESSED_VOLUMES = (0.4, 0.8)


def scaled(atoms: Atoms, factor: float) -> Atoms:
    """Return a copy with all lengths multiplied by a factor."""
    atoms = atoms.copy()
    if atoms.pbc.any():
        atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    else:
        atoms.positions *= factor
    return atoms


def strained(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return a copy with a random strain in all six components; the volume does not change."""
    atoms = atoms.copy()
    strain = np.clip(rng.normal(scale=STRAIN, size=(3, 3)), -2 * STRAIN, 2 * STRAIN)
    deformation = np.eye(3) + (strain + strain.T) / 2
    deformation /= np.cbrt(np.linalg.det(deformation))
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return atoms


def rattled(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """Return a copy with normally distributed displacements along x, y and z.

    Args:
        atoms: the structure.
        amplitude: standard deviation of each component, Å.
        rng: source of the random numbers.
    """
    atoms = atoms.copy()
    atoms.positions += rng.normal(scale=amplitude, size=(len(atoms), 3))
    return atoms


def distorted(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return an ordinary crystal with a random volume in VOLUMES, strained and rattled.

    No contact is shorter than WALL.

    Args:
        atoms: a periodic structure at its guessed volume.
        rng: source of the random numbers.
    """
    crystal = strained(scaled(atoms, np.cbrt(rng.uniform(*VOLUMES))), rng)
    amplitude = rng.uniform(*RATTLE) * nearest(crystal)
    for _ in range(4):
        moved = rattled(crystal, amplitude, rng)
        if nearest(moved, contacts()) >= WALL:
            return moved
        amplitude /= 2
    # Strain or volume made a contact too short: expand the cell.
    return scaled(moved, max(1.0, 1.001 * WALL / nearest(moved, contacts())))


def compressed(atoms: Atoms, rng: np.random.Generator) -> Atoms | None:
    """Return a crystal whose closest distance is compressed to a share in COMPRESSED of the
    covalent sum.

    The distance is also below WALL. The crystal is scaled until it has the drawn closest distance,
    but not below a drawn share of its guessed volume (PRESSED_VOLUMES). If that is not enough, the
    two closest atoms are moved towards each other.

    Args:
        atoms: a periodic structure of two or more atoms, without contacts below WALL.
        rng: source of the random numbers.

    Returns:
        The structure; `None` if a third atom came too close.
    """
    # Where contacts are shorter than the covalent sum (d and f metals), the wall starts later.
    ratio = nearest(atoms, covalent_sums())
    onset = min(COMPRESSED[1], WALL * ratio / nearest(atoms, contacts()))
    target = onset - (onset - COMPRESSED[0]) * rng.random() ** 3
    densest = rng.uniform(*PRESSED_VOLUMES) * volume_guess(atoms)
    factor = max(target / ratio, np.cbrt(densest / atoms.get_volume()))
    pressed = scaled(atoms, min(1.0, factor))
    if nearest(pressed, covalent_sums()) > target:
        pressed = pushed_together(pressed, target)
    reached = nearest(pressed, covalent_sums())
    return pressed if COMPRESSED[0] <= reached <= onset else None


def pushed_together(atoms: Atoms, target: float) -> Atoms:
    """Return a copy in which the two closest atoms were moved towards each other.

    Args:
        atoms: a periodic structure of two or more atoms.
        target: their final distance, divided by the sum of their covalent radii.
    """
    atoms = atoms.copy()
    first, second, vector = neighbours(atoms, float(atoms.cell.lengths().max()))
    lengths = covalent_sums()[atoms.numbers[first], atoms.numbers[second]]
    share = np.linalg.norm(vector, axis=1) / lengths
    # An atom cannot be moved towards its own image.
    share[first == second] = np.inf
    k = int(share.argmin())
    step = vector[k] * (1 - target / share[k]) / 2
    atoms.positions[first[k]] += step
    atoms.positions[second[k]] -= step
    return atoms
