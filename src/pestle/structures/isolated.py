"""Which frames are single atoms without neighbours, whatever they are called.

Such a frame gives an atom's reference energy (E0). `IsolatedAtom` is only mace's name for it:
people write `isolated_atom`, `atom`, or no name at all.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from pestle.structures.frame import ISOLATED_ATOM, Frame

#: A single atom this far from its nearest image (Å) is no crystal: the widest of one atom a cell,
#: caesium's, has 5.2 Å, and stretched by a half still less than this.
LONE_DISTANCE = 8.0
#: Begins the note of a frame that was recognised.
TAKEN = "taken as an isolated atom"
#: Names that say it; letters alone are compared.
_NAMES = ("isolatedatom", "isolated", "singleatom", "freeatom", "isoatom", "atomisolated")


def image_distance(atoms: Atoms) -> float:
    """Distance in Å from an atom to its nearest periodic image; infinite without any."""
    vectors = atoms.cell.array[atoms.pbc & atoms.cell.array.any(axis=1)]
    if not len(vectors):
        return np.inf
    shortest = float(np.linalg.norm(vectors, axis=1).min())
    if len(vectors) == 1 or np.linalg.matrix_rank(vectors) < len(vectors):
        return shortest
    # In a skewed cell a sum of vectors can be shorter than each; in a reduced one none is.
    reduced, _ = minkowski_reduce(atoms.cell, atoms.pbc)
    return float(np.linalg.norm(reduced[atoms.pbc], axis=1).min())


def recognise(frame: Frame) -> None:
    """Call a frame by mace's name, IsolatedAtom, if it is a single neutral atom without neighbours:
    by the name it has, or because no image of it is within `LONE_DISTANCE`. A note keeps the name
    that it had."""
    if len(frame) != 1 or frame.config_type == ISOLATED_ATOM or frame.charge:
        return
    named = "".join(c for c in frame.config_type.lower() if c.isalpha()) in _NAMES
    if not named and not _is_alone(frame.atoms):
        return
    frame.notes.append(f"{TAKEN}: config_type {frame.config_type}")
    frame.config_type = ISOLATED_ATOM


def _is_alone(atoms: Atoms) -> bool:
    lengths = np.linalg.norm(atoms.cell.array[atoms.pbc], axis=1)
    # The vectors themselves settle it for a crystal's primitive cell, at less cost.
    return bool((lengths >= LONE_DISTANCE).all()) and image_distance(atoms) >= LONE_DISTANCE
