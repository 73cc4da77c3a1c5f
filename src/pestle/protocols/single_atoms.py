"""Energies of single atoms, as raw results of several protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms

from pestle.errors import PestleError
from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame

#: Name of the result.
NAME = "atoms"


@dataclass(frozen=True)
class SingleAtoms(Arrays):
    """Energies of single atoms.

    Attributes:
        numbers: [elements] atomic numbers.
        energy: [elements] eV.
    """

    numbers: Annotated[np.ndarray, Shape("elements", of=int)]
    energy: Annotated[np.ndarray, Shape("elements")]


def calculate_single_atoms(
    potential: Potential, elements: Sequence[int], raw: RawFolder, where: str
) -> None:
    """Calculate the energies of single atoms and write them.

    Args:
        potential: the potential.
        elements: atomic numbers.
        raw: folder for the energies.
        where: name of the protocol, for errors.

    Raises:
        PestleError: there is no element.
    """
    if not elements:
        raise PestleError("no element is known", where=where, fix="Give --data or --elements.")
    frames = [Frame(Atoms(numbers=[z]), source="single atom") for z in elements]
    energy = np.array([p.energy for p in potential.predict(frames)])
    raw.write(NAME, SingleAtoms(np.array(elements), energy))


def read_single_atoms(raw: RawFolder) -> dict[int, float]:
    """Return the energies that `calculate_single_atoms` wrote: atomic number → eV."""
    found = raw.read(NAME, SingleAtoms)
    return dict(zip(found.numbers.tolist(), found.energy.tolist(), strict=True))
