"""Crystals of known structure types, filled with any elements.

The table holds space group, sites and cell shape of common types (Mehl et al. 2017,
DOI 10.1016/j.commatsci.2017.01.017, lists them all); ASE's `spacegroup.crystal` builds them. Sizes
come from bond lengths, not from the table, so that any elements fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from pestle.structures.generation.distortions import scaled
from pestle.structures.generation.spacing import (
    NOBLE_GASES,
    SHORTEST_BOND,
    VALENCE,
    contacts,
    is_metal,
    metallic_sums,
    neighbours,
)

#: Atoms of a supercell.
SIZES = (2, 32)

#: Bond lengths change by this times the logarithm of the bond valence, Å (Brown & Altermatt 1985,
#: DOI 10.1107/S0108768185002063).
BOND_VALENCE = 0.37

#: Coordination for which the radii hold: metallic ones are those of close packings; the covalent
#: ones, taken between a metal and a non-metal, fit four metal neighbours of the non-metal.
METALLIC_COORDINATION = 12
IONIC_COORDINATION = 4

#: Neighbours of one kind within this factor of the nearest are counted as its coordination: the
#: second shell of bcc at 1.155 counts, that of a simple cubic lattice does not.
SHELL = 1.2


@dataclass(frozen=True)
class Prototype:
    """A structure type.

    Attributes:
        spacegroup: number in the International Tables, first setting of ASE.
        sites: fractional coordinates of one atom of each site in the conventional cell.
        roles: of each site, which species sits there; species may be interchanged.
        c: third cell length over the first; the second equals the first.
        gamma: angle of the first two vectors in degrees; the others are 90.
    """

    spacegroup: int
    sites: tuple[tuple[float, float, float], ...]
    roles: str
    c: float = 1.0
    gamma: float = 90.0


_O, _HALF, _QUARTER = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_THIRD = 1 / 3


def _hexagonal(spacegroup: int, c: float, roles: str, *sites) -> Prototype:
    return Prototype(spacegroup, sites, roles, c=c, gamma=120.0)


#: Types by name. Those of one role also take several species, at random over their atoms.
PROTOTYPES: dict[str, Prototype] = {
    "fcc": Prototype(225, (_O,), "A"),
    "bcc": Prototype(229, (_O,), "A"),
    "sc": Prototype(221, (_O,), "A"),
    "hcp": _hexagonal(194, 1.633, "A", (_THIRD, 2 / 3, 0.25)),
    "diamond": Prototype(227, (_O,), "A"),
    "beta-tin": Prototype(141, (_O,), "A", c=0.546),
    "grey arsenic": _hexagonal(166, 2.8, "A", (0, 0, 0.227)),
    "graphite layers": _hexagonal(191, 1.6, "A", (_THIRD, 2 / 3, 0)),
    "A15": Prototype(223, (_O, (0.25, 0, 0.5)), "AA"),
    "rocksalt": Prototype(225, (_O, _HALF), "AB"),
    "CsCl": Prototype(221, (_O, _HALF), "AB"),
    "zincblende": Prototype(216, (_O, _QUARTER), "AB"),
    "wurtzite": _hexagonal(186, 1.633, "AB", (_THIRD, 2 / 3, 0), (_THIRD, 2 / 3, 0.375)),
    "NiAs": _hexagonal(194, 1.4, "AB", _O, (_THIRD, 2 / 3, 0.25)),
    "CuAu": Prototype(123, (_O, _HALF), "AB", c=np.sqrt(2)),
    "PbO": Prototype(129, (_O, (0, 0.5, 0.235)), "AB", c=1.26),
    "BN layers": _hexagonal(194, 2.66, "AB", (_THIRD, 2 / 3, 0.25), (_THIRD, 2 / 3, 0.75)),
    "fluorite": Prototype(225, (_O, _QUARTER), "AB"),
    "rutile": Prototype(136, (_O, (0.305, 0.305, 0)), "AB", c=0.644),
    "CdI2": _hexagonal(164, 1.6, "AB", _O, (_THIRD, 2 / 3, 0.25)),
    "AlB2": _hexagonal(191, 1.08, "AB", _O, (_THIRD, 2 / 3, 0.5)),
    "MoS2": _hexagonal(194, 3.9, "AB", (_THIRD, 2 / 3, 0.25), (_THIRD, 2 / 3, 0.621)),
    "cuprite": Prototype(224, (_O, _QUARTER), "AB"),
    "cristobalite": Prototype(227, (_O, (0.125, 0.125, 0.125)), "AB"),
    "Laves MgCu2": Prototype(227, (_O, (0.625, 0.625, 0.625)), "AB"),
    "Cu3Au": Prototype(221, (_O, (0, 0.5, 0.5)), "AB"),
    "ReO3": Prototype(221, (_O, (0.5, 0, 0)), "AB"),
    "Cr3Si": Prototype(223, (_O, (0.25, 0, 0.5)), "AB"),
    "BiF3": Prototype(225, (_O, _HALF, _QUARTER), "ABB"),
    "corundum": _hexagonal(167, 2.73, "AB", (0, 0, 0.352), (0.306, 0, 0.25)),
    "perovskite": Prototype(221, (_O, _HALF, (0, 0.5, 0.5)), "ABC"),
    "half-Heusler": Prototype(216, (_O, _QUARTER, _HALF), "ABC"),
    "full Heusler": Prototype(225, (_O, _HALF, _QUARTER), "ABC"),
    "chalcopyrite": Prototype(122, (_O, (0, 0, 0.5), (0.25, 0.25, 0.125)), "ABC", c=1.97),
    "delafossite": _hexagonal(166, 5.7, "ABC", _O, (0, 0, 0.5), (0, 0, 0.11)),
    "NaFeO2": _hexagonal(166, 5.3, "ABC", _O, (0, 0, 0.5), (0, 0, 0.24)),
    "PbFCl": Prototype(129, (_O, (0, 0.5, 0.2), (0, 0.5, 0.65)), "ABC", c=1.77),
    "calcite": _hexagonal(167, 3.42, "ABC", _O, (0, 0, 0.25), (0.257, 0, 0.25)),
    "ilmenite": _hexagonal(148, 2.77, "ABC", (0, 0, 0.355), (0, 0, 0.146), (0.317, 0.023, 0.245)),
    "spinel": Prototype(227, (_O, (0.625, 0.625, 0.625), (0.3875, 0.3875, 0.3875)), "ABC"),
}


@lru_cache(maxsize=len(PROTOTYPES))
def shape(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The primitive cell of a type, first cell length of the conventional one 1.

    Returns:
        cell [3, 3], fractional coordinates [n_atoms, 3], role of each atom [n_atoms] from 0.
    """
    kind = PROTOTYPES[name]
    # Placeholder elements for the roles, at a scale at which ASE's tolerances have no effect.
    atoms = crystal(
        [1 + "ABC".index(role) for role in kind.roles],
        basis=kind.sites,
        spacegroup=kind.spacegroup,
        cellpar=[10, 10, 10 * kind.c, 90, 90, kind.gamma],
        primitive_cell=True,
    )
    return atoms.cell.array / 10, atoms.get_scaled_positions(), atoms.numbers - 1


def bond_length(a: int, b: int, around_a: float, around_b: float, in_metal: bool) -> float:
    """Length in Å at which two elements sit at rest, given their coordination.

    Metal and metal: sum of metallic radii at twelve neighbours; non-metal and metal: radii of
    `contacts` at four metals around the non-metal; non-metals: covalent radii where each has as
    many neighbours as bonds. More neighbours make longer bonds, 0.37 Å times the logarithm of the
    ratio. Noble gases: their van der Waals contact.

    Args:
        a, b: atomic numbers.
        around_a, around_b: how many b an a has in its first shell, and the reverse.
        in_metal: whether the structure holds metals only; cations come nearer to each other than
            atoms of a metal, so that among non-metals they only keep SHORTEST_BOND.
    """
    contact = float(contacts()[a, b])
    if a in NOBLE_GASES or b in NOBLE_GASES:
        return contact
    if is_metal(a) and is_metal(b):
        if not in_metal:
            return SHORTEST_BOND * contact
        length, ratio = metallic_sums()[a, b], max(around_a, around_b) / METALLIC_COORDINATION
    elif is_metal(a) or is_metal(b):
        length, ratio = contact, (around_b if is_metal(a) else around_a) / IONIC_COORDINATION
    else:
        length, ratio = contact, max(1.0, around_a / VALENCE[a], around_b / VALENCE[b])
    return float(max(length + BOND_VALENCE * np.log(ratio), SHORTEST_BOND * contact))


def at_rest(atoms: Atoms) -> Atoms:
    """Return a copy of a crystal, scaled so that its most compressed kind of bond has its normal
    length.
    """
    numbers = atoms.numbers
    in_metal = all(is_metal(int(z)) for z in numbers)
    # Normalise first, so that this cutoff holds the first two or three shells whatever the type.
    atoms = scaled(atoms, np.cbrt(10.0 * len(atoms) / atoms.get_volume()))
    first, second, vector = neighbours(atoms, 6.0)
    distance = np.linalg.norm(vector, axis=1)
    factor = 0.0
    for a in np.unique(numbers):
        for b in np.unique(numbers[numbers >= a]):
            of_pair = (numbers[first] == a) & (numbers[second] == b)
            if not of_pair.any():
                continue
            shortest = distance[of_pair].min()
            shell = of_pair & (distance < SHELL * shortest)
            # Means over the atoms that have such a bond at all.
            around_a = shell.sum() / len(np.unique(first[shell]))
            around_b = shell.sum() / len(np.unique(second[shell]))
            length = bond_length(int(a), int(b), around_a, around_b, in_metal)
            factor = max(factor, length / shortest)
    return scaled(atoms, factor)


def fitting_prototypes(n_species: int) -> list[str]:
    """Return the structure types that a number of species can fill, with at least one atom each.

    A type with one role accepts any number of species.
    """
    return [name for name, kind in PROTOTYPES.items() if len(set(kind.roles)) in (1, n_species)]


def prototype(species: Sequence[int], rng: np.random.Generator, max_atoms: int = SIZES[1]) -> Atoms:
    """A supercell of a random structure type at rest, neither strained nor rattled.

    Args:
        species: atomic numbers, all different; which takes which role is drawn.
        rng: the source of the draws.
        max_atoms: atoms at most, at least 2 and the number of species.
    """
    names = [n for n in fitting_prototypes(len(species)) if len(shape(n)[1]) <= max_atoms]
    name = names[int(rng.integers(len(names)))]
    cell, positions, roles = shape(name)
    ordered = len(set(PROTOTYPES[name].roles)) == len(species)
    numbers = rng.permutation(species)[roles % len(species)]
    atoms = Atoms(numbers=numbers, scaled_positions=positions, cell=cell, pbc=True)
    smallest = max(2, 1 if ordered else len(species))
    size = int(rng.integers(smallest, max_atoms + 1))
    atoms = atoms.repeat(_repeats(atoms.cell.lengths(), len(atoms), size, smallest))
    if not ordered:
        extra = rng.choice(species, size=len(atoms) - len(species))
        atoms.numbers = rng.permutation([*species, *extra])
    return at_rest(atoms)


def _repeats(lengths: np.ndarray, n_atoms: int, size: int, smallest: int) -> tuple[int, ...]:
    """Repeats along the cell vectors: the shortest grows while at most `size` atoms result."""
    repeats = np.ones(3, dtype=int)
    while True:
        grown = repeats.copy()
        grown[int(np.argmin(repeats * lengths))] += 1
        n_grown = n_atoms * int(np.prod(grown))
        if n_grown > size and n_atoms * int(np.prod(repeats)) >= smallest:
            return tuple(int(r) for r in repeats)
        repeats = grown
