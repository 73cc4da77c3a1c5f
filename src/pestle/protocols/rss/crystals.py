"""The input of a random structure search: compositions, random crystals, rattling, batches.

All of them depend only on the seed, the composition and the number of the crystal, so that every
potential starts from the same crystals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.protocols.base import Inputs
from pestle.protocols.potential import Potential
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import (
    Stoichiometry,
    parse_formula,
    stoichiometries,
)
from pestle.structures.generation.random_crystals import random_crystal
from pestle.structures.generation.spacing import HEAVIEST, expected_edges, volume_guess

#: Largest number of calls of the generator for one crystal; each call makes many draws.
_CALLS = 50
#: Purposes of random numbers, so that no two purposes share the same numbers.
_COMPOSITIONS, _CRYSTALS, _RATTLES = 1, 2, 3


def compositions(inputs: Inputs, settings: RssSettings) -> list[Stoichiometry]:
    """Return the compositions of the settings, or draw some from the elements.

    Args:
        inputs: gives elements and seed.
        settings: settings of the protocol.

    Raises:
        PestleError: no element is known, or a text is not a formula.
    """
    if settings.compositions:
        return list(dict.fromkeys(parse_formula(text) for text in settings.compositions))
    if not inputs.elements:
        raise PestleError("no element is known", where="rss", fix="Give --data or --elements.")
    rng = np.random.default_rng([_COMPOSITIONS, inputs.seed])
    return stoichiometries(
        inputs.elements, settings.n_compositions, rng, max_atoms=settings.max_atoms
    )


def check(inputs: Inputs, settings: RssSettings, potentials: Sequence[Potential]) -> None:
    """Check that every potential knows the elements of every composition.

    Raises:
        PestleError: a potential lacks an element, or a text is not a formula.
    """
    for composition in compositions(inputs, settings):
        heavy = [z for z in composition.species if z > HEAVIEST]
        if heavy:
            raise PestleError(
                f"no radius of {chemical_symbols[heavy[0]]} is known",
                where="rss",
                fix="Give compositions without it: rss.compositions.",
            )
        size = sum(composition.amounts)
        if size > settings.max_atoms:
            raise PestleError(
                f"{composition.formula} has {size} atoms, a cell {settings.max_atoms} at most",
                where="rss.compositions",
                fix=f"Set rss.max_atoms to {size} or more.",
            )
        for potential in potentials:
            known = potential.elements
            lost = [z for z in composition.species if known is not None and z not in known]
            if lost:
                raise PestleError(
                    f"{potential.name} does not know {chemical_symbols[lost[0]]} "
                    f"in {composition.formula}",
                    where="rss.compositions",
                )


def random_crystals(composition: Stoichiometry, settings: RssSettings, seed: int) -> list[Atoms]:
    """Make the crystals that the search of one composition starts from.

    Their volume is about that of a solid, and no contact is too short.

    Args:
        composition: the composition.
        settings: settings of the protocol.
        seed: seed of the run.

    Raises:
        PestleError: no crystal was found.
    """
    found = []
    for number in range(settings.structures):
        rng = _rng(_CRYSTALS, seed, composition, number)
        draws = (
            random_crystal(
                composition.species,
                rng,
                settings.max_atoms,
                amounts=composition.amounts,
                shortest=settings.shortest,
            )
            for _ in range(_CALLS)
        )
        crystal = next((atoms for atoms in draws if atoms is not None), None)
        if crystal is None:
            raise PestleError(
                f"no random crystal of {composition.formula} was found",
                where="rss",
                fix="Lower rss.shortest or raise rss.max_atoms.",
            )
        found.append(crystal)
    return found


def rattled(
    atoms: Atoms, amplitude: float, seed: int, composition: Stoichiometry, number: int, cycle: int
) -> Atoms:
    """Return a copy with normally distributed displacements along x, y and z.

    Args:
        atoms: the crystal.
        amplitude: standard deviation of each component, Å.
        seed, composition, number: identify the crystal.
        cycle: number of the relaxation that follows, from 1.
    """
    rng = _rng(_RATTLES, seed, composition, number, cycle)
    moved = atoms.copy()
    moved.positions += rng.normal(scale=amplitude, size=moved.positions.shape)
    return moved


def batches(crystals: Sequence[Atoms], most_edges: float) -> list[range]:
    """Divide the crystals into batches that are relaxed together.

    Args:
        crystals: the crystals at the start.
        most_edges: largest number of neighbour pairs in a batch, at the volumes at rest.

    Returns:
        Ranges of consecutive crystals, each with at least one.
    """
    starts, edges = [0], 0.0
    for number, atoms in enumerate(crystals):
        own = expected_edges(len(atoms), volume_guess(atoms))
        if number > starts[-1] and edges + own > most_edges:
            starts.append(number)
            edges = 0.0
        edges += own
    ends = [*starts[1:], len(crystals)]
    return [range(first, end) for first, end in zip(starts, ends, strict=True)]


def _rng(
    purpose: int, seed: int, composition: Stoichiometry, number: int, cycle: int = 0
) -> np.random.Generator:
    pairs = zip(composition.species, composition.amounts, strict=True)
    flat = [value for pair in pairs for value in pair]
    return np.random.default_rng([purpose, seed, number, cycle, len(flat), *flat])
