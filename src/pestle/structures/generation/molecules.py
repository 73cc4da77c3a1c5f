"""Structures in vacuum: molecules of the G2 set, random clusters, and dimers at short to long
distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.collections import g2

from pestle.structures.generation.distortions import rattled, scaled
from pestle.structures.generation.spacing import (
    EDGE_CUTOFF,
    WALL,
    contacts,
    covalent_sums,
    nearest,
)

#: Factor on all lengths of a molecule: bonds well inside the wall to bonds half way to breaking.
STRETCH = (0.88, 1.2)

#: Standard deviation of a displacement along x, y and z, Å: up to a hot molecule's (a C–H stretch
#: has 0.08 Å at rest).
RATTLE = (0.01, 0.12)

#: Distances of a dimer over the covalent sum, first to last.
DIMER = (0.6, 2.5)

#: Atoms of a random cluster, and its bonds over the usual contact.
CLUSTER_SIZES = (3, 8)
CLUSTER_BONDS = (0.9, 1.25)


def _vacuum(numbers: Sequence[int] | np.ndarray, positions: np.ndarray) -> Atoms:
    return Atoms(numbers=numbers, positions=positions, pbc=False)


def fitting_molecules(elements: Sequence[int]) -> dict[tuple[int, ...], list[str]]:
    """Return the G2 molecules of two or more atoms whose elements are all in a set.

    G2 is the G2/97 test set as ASE provides it (Curtiss et al. 1997, DOI 10.1063/1.473182).

    Args:
        elements: atomic numbers of the set.

    Returns:
        Elements of the molecules → their names.
    """
    found: dict[tuple[int, ...], list[str]] = {}
    for name in g2.names:
        atoms = g2[name]
        species = tuple(sorted({int(z) for z in atoms.numbers}))
        if len(atoms) > 1 and set(species) <= set(elements):
            found.setdefault(species, []).append(name)
    return dict(sorted(found.items()))


def molecule(name: str, rng: np.random.Generator) -> Atoms:
    """Return a G2 molecule in vacuum, with all lengths scaled by one factor, then rattled.

    Args:
        name: its name in the set.
        rng: source of the random numbers.
    """
    rest = g2[name]
    atoms = scaled(_vacuum(rest.numbers, rest.positions), rng.uniform(*STRETCH))
    amplitude = rng.uniform(*RATTLE)
    # Two hydrogens of a long molecule may meet by chance: half the amplitude then.
    for _ in range(5):
        moved = rattled(atoms, amplitude, rng)
        if nearest(moved, covalent_sums()) >= DIMER[0]:
            return moved
        amplitude /= 2
    return atoms


def cluster(species: Sequence[int], rng: np.random.Generator) -> Atoms:
    """Return a random cluster in vacuum that contains every species.

    Each atom is bound to an earlier one.

    Args:
        species: atomic numbers.
        rng: source of the random numbers.
    """
    size = int(rng.integers(max(CLUSTER_SIZES[0], len(species)), CLUSTER_SIZES[1] + 1))
    numbers = rng.permutation([*species, *rng.choice(species, size=size - len(species))])
    positions = np.zeros((1, 3))
    while len(positions) < size:
        z = numbers[len(positions)]
        anchor = int(rng.integers(len(positions)))
        direction = rng.normal(size=3)
        length = rng.uniform(*CLUSTER_BONDS) * contacts()[numbers[anchor], z]
        place = positions[anchor] + direction / np.linalg.norm(direction) * length
        distances = np.linalg.norm(positions - place, axis=1)
        # An atom always fits on the outside, so this loop ends.
        if (distances >= WALL * contacts()[numbers[: len(positions)], z]).all():
            positions = np.vstack([positions, place])
    return _vacuum(numbers, positions)


def dimer(pair: tuple[int, int], place: float, rng: np.random.Generator) -> Atoms:
    """Return two atoms in vacuum, between strong repulsion and a broken bond.

    Args:
        pair: their atomic numbers.
        place: position in the range of distances, 0 to 1.
        rng: source of the random direction.
    """
    covalent = covalent_sums()[pair]
    # Noble gases: their covalent radii say little, so reach beyond the van der Waals contact.
    last = min(max(DIMER[1] * covalent, 1.25 * contacts()[pair]), EDGE_CUTOFF)
    first = DIMER[0] * covalent
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    return _vacuum(pair, np.outer([0.0, 1.0], direction * (first + place * (last - first))))
