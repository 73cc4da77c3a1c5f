"""Generation of diverse structures of any elements from a seed, without data, labels or network.

The structures are used for pseudolabelled replay, for monitoring drift and as starting points of
searches. Such a set needs structural diversity; the origin of the structures is not important
(paper, appendix E). It contains ordered and random crystals, molecules, clusters, pairs and
strongly compressed structures, each for all elements and pairs of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from pestle.errors import PestleError
from pestle.structures.frame import Frame
from pestle.structures.generation.compositions import Coverage
from pestle.structures.generation.distortions import compressed, distorted
from pestle.structures.generation.molecules import cluster, dimer, fitting_molecules, molecule
from pestle.structures.generation.prototypes import prototype
from pestle.structures.generation.random_crystals import random_crystal
from pestle.structures.generation.spacing import HEAVIEST, is_sound

#: Kinds of structures, by the names that `config_type` gives them, and their shares.
#: Ordered crystals are most frequent: foundations were trained on them, and they contain every bond
#: type. Random crystals contain environments that no table has. Compressed cells show the repulsion
#: that naive fine-tuning loses (paper 3.4, A.5). In vacuum, molecules show bonds and angles, dimers
#: the pair curve, and clusters many-body terms if no molecule of the elements is known.
SHARES = {
    "prototype": 0.30,
    "random crystal": 0.20,
    "compressed": 0.20,
    "molecule": 0.12,
    "dimer": 0.10,
    "cluster": 0.08,
}

#: Largest numbers of atoms in ordinary and in compressed periodic structures: many small cells.
MAX_ATOMS = {"prototype": 32, "random crystal": 24, "compressed": 16}

#: Largest number of compositions that are tried for one structure.
TRIES = 50

#: Sizes tried for one composition, each 0.6 of the last, until the bound on edges is kept.
_SIZES_TRIED = 6

_GOLDEN = (np.sqrt(5) - 1) / 2


class _Generator:
    """Makes structures one after the other and counts those that it has made."""

    def __init__(self, elements: Sequence[int], seed: int) -> None:
        self.seed = seed
        self.molecules = fitting_molecules(elements)
        self.made = dict.fromkeys(self.molecules, 0)
        self.overall = Coverage(elements)
        self.coverage = {kind: Coverage(elements, self.overall) for kind in SHARES}
        self.dimers: dict[tuple[int, int], float] = {}

    def shares(self) -> dict[str, float]:
        """Return SHARES for these elements; if no molecule fits, its share goes to clusters."""
        shares = dict(SHARES)
        if not self.molecules:
            shares["cluster"] += shares.pop("molecule")
        return shares

    def structure(self, kind: str, rng: np.random.Generator) -> Atoms:
        """The next structure of a kind."""
        for _ in range(TRIES):
            atoms = self._attempt(kind, rng)
            if atoms is not None and is_sound(atoms):
                self.coverage[kind].add(atoms.numbers)
                return atoms
        raise PestleError(
            f"no {kind} within the bounds was found in {TRIES} tries",
            where="generated structures",
            fix="Try another seed, or other elements.",
        )

    def _attempt(self, kind: str, rng: np.random.Generator) -> Atoms | None:
        if kind == "molecule":
            fewest = min(self.made.values())
            choices = [species for species, n in self.made.items() if n == fewest]
            species = choices[int(rng.integers(len(choices)))]
            self.made[species] += 1
            names = self.molecules[species]
            return molecule(names[int(rng.integers(len(names)))], rng)
        if kind == "dimer":
            pair = self.coverage[kind].pair(rng)
            start = np.random.default_rng([self.seed, 2, *pair]).random()
            # Steps of the golden ratio spread the distances of a pair evenly, however many.
            place = (self.dimers.get(pair, start) + _GOLDEN) % 1.0
            self.dimers[pair] = place
            return dimer(pair, place, rng)
        species = self.coverage[kind].species(rng)
        return cluster(species, rng) if kind == "cluster" else _crystal(kind, species, rng)


def _crystal(kind: str, species: Sequence[int], rng: np.random.Generator) -> Atoms | None:
    """Return a distorted crystal of a kind within the bounds; dense crystals have fewer atoms."""
    max_atoms: float = MAX_ATOMS[kind]
    for _ in range(_SIZES_TRIED):
        limit = max(int(max_atoms), 2, len(species))
        ordered = kind == "prototype" or (kind == "compressed" and rng.random() < 0.5)
        crystal = (prototype if ordered else random_crystal)(species, rng, limit)
        if crystal is not None:
            crystal = distorted(crystal, rng)
            if kind == "compressed":
                crystal = compressed(crystal, rng)
        if crystal is not None and is_sound(crystal):
            return crystal
        max_atoms *= 0.6
    return None


def _sequence(shares: dict[str, float], count: int, rng: np.random.Generator) -> list[str]:
    """Return a kind for each structure: first every kind once if possible, then by share;
    shuffled.
    """
    kinds = list(shares)
    numbers = np.zeros(len(kinds), dtype=int)
    if count >= len(kinds):
        numbers += 1
    wanted = np.array([shares[kind] for kind in kinds]) * count
    while numbers.sum() < count:
        numbers[int(np.argmax(wanted - numbers))] += 1
    return [kinds[k] for k in rng.permutation(np.repeat(np.arange(len(kinds)), numbers))]


def generate(
    elements: Sequence[int],
    count: int,
    seed: int,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> list[Frame]:
    """Broad structures of some elements, without labels.

    Each holds one to three of the elements (a molecule maybe four); elements and pairs of elements
    are covered evenly. `config_type` names the kind; SHARES says how many of each:

    - prototype: crystals of known types (ASE), random crystal: of any space group (PyXtal, DOI
      10.1016/j.cpc.2020.107810). Both at 0.85 to 1.3 of a guessed volume, strained and rattled.
    - compressed: such crystals, scaled down and, where that alone would press them too far, with
      two atoms pushed together, until the closest distance is 0.5 to 0.8 of the covalent sum.
    - molecule: of the G2 set (ASE), stretched or pressed and rattled; dimer: two atoms at 0.6 to
      2.5 covalent sums; cluster: 3 to 8 atoms. In vacuum.

    No two atoms are nearer than 0.45 of their covalent sum, and no structure has more than 32 atoms
    or 6000 directed edges at 6 Å.

    Args:
        elements: atomic numbers, 1 to 96; order and repeats do not matter.
        count: how many structures.
        seed: the same elements, count and seed give the same structures on one machine.
        on_progress: called with the number of structures done after each.

    Returns:
        exactly `count` frames in mixed order, `source` "generated", numbered from 0.

    Raises:
        PestleError: no element, an unknown one or one beyond curium, or a count or seed that
            makes no sense.
    """
    known = sorted({int(z) for z in elements})
    if not known:
        raise PestleError(
            "there are no elements to make structures of",
            where="generated structures",
            fix="Give data or a foundation with at least one element.",
        )
    if known[0] < 1 or known[-1] > HEAVIEST:
        wrong = [z for z in known if not 1 <= z <= HEAVIEST]
        raise PestleError(
            f"no radii are known for atomic number{'s' if len(wrong) > 1 else ''} "
            f"{', '.join(map(str, wrong))}",
            where="generated structures",
            fix=f"Elements 1 to {HEAVIEST} can be used.",
        )
    if count < 1 or seed < 0:
        raise PestleError(
            f"count {count} and seed {seed} were asked for",
            where="generated structures",
            fix="Give a count of at least 1 and a seed of at least 0.",
        )
    generator = _Generator(known, seed)
    kinds = _sequence(generator.shares(), count, np.random.default_rng([seed, 0]))
    frames = []
    for k, kind in enumerate(kinds):
        # Each structure has its own random stream, so that a retry does not change the others.
        atoms = generator.structure(kind, np.random.default_rng([seed, 1, k]))
        frames.append(Frame(atoms, config_type=kind, source="generated", index=k))
        if on_progress is not None:
            on_progress(k + 1)
    return frames
