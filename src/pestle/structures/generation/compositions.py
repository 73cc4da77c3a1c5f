"""Choice of the elements of the next structure, so that all elements and pairs are covered
evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula

from pestle.errors import PestleError

#: Numbers of elements of successive structures of one kind. Two are most frequent: the interaction
#: of every two elements must be kept, and a structure of two elements is enough to contain it.
SPECIES_CYCLE = (2, 1, 2, 3)

#: Largest number of atoms of one species in a drawn formula unit.
MOST_OF_ONE = 4
#: After this many draws without a new formula, the search ends.
_VAIN_DRAWS = 500


class Coverage:
    """Counts of elements and pairs so far, in one kind of structure and in all kinds.

    The pair of an element with itself stands for structures of only that element.
    """

    def __init__(self, elements: Sequence[int], overall: Coverage | None = None) -> None:
        self.elements = np.array(elements)
        self.pairs = np.zeros((len(elements), len(elements)), dtype=int)
        self.structures = 0
        self.overall = self if overall is None else overall

    def _pick(self, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> int:
        """Return the least frequent pair (a position in both arrays), counted first within this
        kind.
        """
        overall = self.overall.pairs
        of_element = overall.sum(axis=0)
        keys = (
            rng.random(len(first)),
            of_element[first] + of_element[second],
            overall[first, second],
            self.pairs[first, second],
        )
        return int(np.lexsort(keys)[0])

    def pair(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return two elements, possibly the same one twice.

        Args:
            rng: source of the random numbers.
        """
        first, second = np.triu_indices(len(self.elements))
        k = self._pick(first, second, rng)
        return int(self.elements[first[k]]), int(self.elements[second[k]])

    def species(
        self, rng: np.random.Generator, cycle: Sequence[int] = SPECIES_CYCLE
    ) -> tuple[int, ...]:
        """Return one to three different elements.

        Args:
            rng: source of the random numbers.
            cycle: numbers of elements of successive structures.
        """
        sizes = [size for size in cycle if size <= len(self.elements)]
        size = sizes[self.structures % len(sizes)]
        everything = np.arange(len(self.elements))
        if size == 1:
            chosen = [self._pick(everything, everything, rng)]
        else:
            first, second = np.triu_indices(len(self.elements), k=1)
            k = self._pick(first, second, rng)
            chosen = [int(first[k]), int(second[k])]
        if size == 3:
            others = np.setdiff1d(everything, chosen)
            k = self._pick(others, np.full(len(others), chosen[int(rng.integers(2))]), rng)
            chosen.append(int(others[k]))
        return tuple(int(self.elements[k]) for k in chosen)

    def add(self, numbers: np.ndarray) -> None:
        """Count a structure.

        Args:
            numbers: [n_atoms] atomic numbers.
        """
        present = np.flatnonzero(np.isin(self.elements, numbers))
        for coverage in {id(c): c for c in (self, self.overall)}.values():
            if len(present) == 1:
                coverage.pairs[present[0], present[0]] += 1
            else:
                grid = np.ix_(present, present)
                coverage.pairs[grid] += 1 - np.eye(len(present), dtype=int)
            coverage.structures += 1


@dataclass(frozen=True)
class Stoichiometry:
    """The atoms of a formula unit, as smallest whole numbers.

    Attributes:
        species: atomic numbers, ascending.
        amounts: number of atoms of each species.
    """

    species: tuple[int, ...]
    amounts: tuple[int, ...]

    @property
    def formula(self) -> str:
        """`Na2Cl`: metals first."""
        count = dict(zip((chemical_symbols[z] for z in self.species), self.amounts, strict=True))
        return f"{Formula.from_dict(count):metal}"


def parse_formula(text: str) -> Stoichiometry:
    """Return the stoichiometry of a formula such as Na2ClO.

    Raises:
        PestleError: the text is not a formula, or contains an unknown element.
    """
    try:
        count = Formula(text).reduce()[0].count()
    except ValueError:
        count = {}
    count = {symbol: n for symbol, n in count.items() if n > 0}
    if not count:
        raise PestleError(f"'{text}' is no formula", where="compositions", fix="As in Na2ClO.")
    unknown = [symbol for symbol in count if atomic_numbers.get(symbol, 0) == 0]
    if unknown:
        raise PestleError(f"'{unknown[0]}' in '{text}' is no element", where="compositions")
    ordered = sorted((atomic_numbers[symbol], n) for symbol, n in count.items())
    return Stoichiometry(tuple(z for z, _ in ordered), tuple(n for _, n in ordered))


def stoichiometries(
    elements: Sequence[int], count: int, rng: np.random.Generator, max_atoms: int
) -> list[Stoichiometry]:
    """Return different formulas with alternately two and three species, covering elements and pairs
    evenly.

    Args:
        elements: atomic numbers; a single element gives its only formula.
        count: number of formulas; fewer are returned if no more exist.
        rng: source of the random numbers.
        max_atoms: largest number of atoms in a formula unit, at least two.
    """
    if len(elements) == 1:
        return [Stoichiometry((int(elements[0]),), (1,))]
    cycle = [size for size in (2, 3) if size <= max_atoms]
    coverage, found, vain = Coverage(sorted(elements)), list[Stoichiometry](), 0
    while len(found) < count and vain < _VAIN_DRAWS:
        species = sorted(coverage.species(rng, cycle))
        drawn = rng.integers(1, MOST_OF_ONE + 1, size=len(species))
        amounts = tuple(int(n) for n in drawn // gcd(*drawn.tolist()))
        made = Stoichiometry(tuple(species), amounts)
        if made in found or sum(amounts) > max_atoms:
            vain += 1
            continue
        found.append(made)
        coverage.add(np.array(species))
        vain = 0
    return found
