"""Random crystals: any space group, random Wyckoff sites, random cell.

Space groups, Wyckoff positions and cells of the right crystal system are PyXtal's (Fredericks et
al. 2021, DOI 10.1016/j.cpc.2020.107810), which the paper's random structure search uses too. The
atoms are placed here, many trial points at once: PyXtal's own `from_random` takes about a second
for a structure whose contacts are to be kept, nearly all of it in distance tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from ase import Atoms

from pestle.structures.generation.spacing import SHORTEST_BOND, contacts, nearest, volume_guess

#: Atoms of a primitive cell.
SIZES = (2, 24)

#: Points tried for a Wyckoff site at most; the one with most room is taken. One makes crystals with
#: short contacts, many make even ones: each crystal draws its own number.
POINTS = 16

#: Space groups tried for one set of species before giving up on it.
TRIES = 40

#: The placement may need this much more volume than guessed before another draw is made.
_LOOSEST = 1.3


@lru_cache(maxsize=230)
def _group(number: int) -> tuple[str, np.ndarray, list[tuple[np.ndarray, bool]]]:
    """Crystal system, primitive cell and Wyckoff sites of a space group.

    Returns:
        the name of the system as PyXtal's lattices take it; the primitive vectors [3, 3] in units
        of the conventional ones; of each site the operations [n, 3, 4] that make its atoms and
        whether it is fixed in space, so that it can be filled only once.
    """
    from pyxtal.symmetry import Group

    group = Group(number)
    sites = []
    for site in group.Wyckoff_positions:
        operations = np.array([operation.affine_matrix[:3] for operation in site.ops])
        sites.append((operations, site.get_dof() == 0))
    general = sites[0][0]
    same = np.isclose(general[:, :, :3], np.eye(3)).all(axis=(1, 2))
    return group.lattice_type, _primitive(general[same, :, 3] % 1.0), sites


def _primitive(centring: np.ndarray) -> np.ndarray:
    """Shortest three independent vectors of a lattice with so many points [n, 3] in its cell."""
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
    vectors = (centring[:, None, :] + shifts[None, :, :]).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths.round(6), kind="stable")
    near = vectors[order[lengths[order] > 0.1]][:40]
    for triple in combinations(range(len(near)), 3):
        volume = np.linalg.det(near[list(triple)])
        if np.isclose(abs(volume), 1 / len(centring)):
            cell = near[list(triple)]
            return cell if volume > 0 else -cell
    raise AssertionError("every lattice has a primitive cell")


def _cell(system: str, volume: float, rng: np.random.Generator) -> np.ndarray:
    """A random conventional cell [3, 3] of a crystal system with a volume in Å³."""
    from pyxtal.lattice import Lattice

    # PyXtal's bounds on cell vectors are in Å: draw a large cell, no vector shorter than half the
    # mean, and shrink it.
    lattice: Any = Lattice(system, 1000.0, random_state=rng, min_l=5.0)
    return lattice.matrix * np.cbrt(volume / abs(np.linalg.det(lattice.matrix)))


def _choose_sites(
    sites: list[tuple[np.ndarray, bool]],
    copies: int,
    species: Sequence[int],
    room: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """(element, site) in turn for each species until the cell is full; empty if one gets none.

    Args:
        sites: of `_group`.
        copies: lattice points in the conventional cell.
        species: atomic numbers.
        room: atoms in the primitive cell at most.
        rng: the source of the draws.
    """
    chosen: list[tuple[int, int]] = []
    while True:
        before = len(chosen)
        for z in rng.permutation(species):
            taken = {k for _, k in chosen}
            free = [
                k
                for k, (operations, fixed) in enumerate(sites)
                if len(operations) <= room * copies and not (fixed and k in taken)
            ]
            if free:
                chosen.append((int(z), free[int(rng.integers(len(free)))]))
                room -= len(sites[chosen[-1][1]][0]) // copies
        if len({z for z, _ in chosen}) < len(species):
            return []
        if len(chosen) == before:
            return chosen


def _fill_sites(
    sites: list[tuple[np.ndarray, bool]],
    copies: int,
    species: Sequence[int],
    amounts: Sequence[int],
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """(element, site) until the primitive cell holds so many atoms of each species; else empty.

    Args:
        sites, copies, species, rng: as for `_choose_sites`.
        amounts: atoms of each species.
    """
    chosen: list[tuple[int, int]] = []
    for place in rng.permutation(len(species)):
        left = int(amounts[place])
        while left:
            taken = {k for _, k in chosen}
            free = [
                k
                for k, (operations, fixed) in enumerate(sites)
                if len(operations) <= left * copies and not (fixed and k in taken)
            ]
            if not free:
                return []
            chosen.append((int(species[place]), free[int(rng.integers(len(free)))]))
            left -= len(sites[chosen[-1][1]][0]) // copies
    return chosen


def _orbits(
    operations: np.ndarray, primitive: np.ndarray, n_points: int, rng: np.random.Generator
) -> np.ndarray:
    """Atoms of one site for several trial points [n_points, n_atoms, 3], primitive coordinates."""
    points = rng.random((n_points, 3))
    orbits = np.einsum("oij,pj->poi", operations[:, :, :3], points) + operations[None, :, :, 3]
    orbits = (orbits @ np.linalg.inv(primitive)) % 1.0
    # Atoms of the conventional cell that differ by a centring fall onto one.
    first = orbits[0]
    apart = np.abs((first[:, None, :] - first[None, :, :] + 0.5) % 1.0 - 0.5).max(axis=2)
    unique = [k for k in range(len(first)) if not (apart[k, :k] < 1e-4).any()]
    return orbits[:, unique]


def _room(
    orbits: np.ndarray, z: int, placed: np.ndarray, numbers: list[int], cell: np.ndarray
) -> np.ndarray:
    """Shortest contact of each trial orbit [n_points] with itself and the atoms placed so far.

    In units of `contacts`. Images one cell away are enough to choose by; the finished structure is
    measured exactly.
    """
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
    # All atoms of a site are equivalent: what its first one sees is what each sees.
    here = orbits[:, :1]
    own = ((here - orbits + 0.5) % 1.0 - 0.5)[:, :, None, :] + images
    distance = np.linalg.norm(own @ cell, axis=-1)
    distance[:, 0, np.flatnonzero((images == 0).all(axis=1))] = np.inf
    room = distance.min(axis=(1, 2)) / contacts()[z, z]
    if len(placed):
        other = ((here - placed[None] + 0.5) % 1.0 - 0.5)[:, :, None, :] + images
        distance = np.linalg.norm(other @ cell, axis=-1).min(axis=2)
        room = np.minimum(room, (distance / contacts()[z, numbers]).min(axis=1))
    return room


def random_crystal(
    species: Sequence[int],
    rng: np.random.Generator,
    max_atoms: int = SIZES[1],
    *,
    amounts: Sequence[int] | None = None,
    shortest: float = SHORTEST_BOND,
) -> Atoms | None:
    """Return a random crystal at about its guessed volume, without contacts that are too short.

    Args:
        species: atomic numbers, all different.
        rng: source of the random numbers.
        max_atoms: largest number of atoms, at least two.
        amounts: atoms of each species in a formula unit. The cell then contains a whole number of
            formula units. `None`: any composition.
        shortest: shortest contact, as a share of `contacts`.

    Returns:
        The primitive cell; `None` if none of TRIES draws was valid.
    """
    for _ in range(TRIES):
        system, primitive, sites = _group(int(rng.integers(1, 231)))
        copies = round(1 / abs(np.linalg.det(primitive)))
        if amounts is None:
            room = int(rng.integers(SIZES[0], max_atoms + 1))
            chosen = _choose_sites(sites, copies, species, room, rng)
        else:
            units = int(rng.integers(1, max_atoms // sum(amounts) + 1))
            chosen = _fill_sites(sites, copies, species, [units * n for n in amounts], rng)
        counts = [len(sites[k][0]) // copies for _, k in chosen]
        if sum(counts) < SIZES[0]:
            continue
        numbers = np.repeat([z for z, _ in chosen], counts)
        volume = volume_guess(Atoms(numbers=numbers))
        cell = primitive @ _cell(system, volume * copies, rng)
        n_points = int(rng.integers(1, POINTS + 1))
        placed, present = np.zeros((0, 3)), list[int]()
        for z, k in chosen:
            orbits = _orbits(sites[k][0], primitive, n_points, rng)
            best = orbits[int(_room(orbits, z, placed, present, cell).argmax())]
            placed, present = np.vstack([placed, best]), present + [z] * len(best)
        atoms = Atoms(numbers=present, scaled_positions=placed, cell=cell, pbc=True)
        lacking = shortest / nearest(atoms, contacts())
        if lacking**3 <= _LOOSEST:
            atoms.set_cell(cell * max(1.0, lacking), scale_atoms=True)
            return atoms
    return None
