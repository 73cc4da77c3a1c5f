"""Recognition of single atoms without neighbours under any name.

Such a frame gives the reference energy of an atom (E0). mace names it `IsolatedAtom`; other files
use `isolated_atom`, `atom`, or no name.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from pestle.structures.frame import ISOLATED_ATOM, Frame

#: A single atom this far from its nearest image (Å) is not a crystal: the largest distance in a
#: crystal with one atom per cell is 5.2 Å, in caesium, and less than this if stretched by a half.
LONE_DISTANCE = 8.0
#: Beginning of the note of a frame that was recognised.
TAKEN = "taken as an isolated atom"
#: Names of isolated atoms; only letters are compared.
_NAMES = ("isolatedatom", "isolated", "singleatom", "freeatom", "isoatom", "atomisolated")


def image_distance(atoms: Atoms) -> float:
    """Return the distance in Å from an atom to its nearest periodic image; infinite without one."""
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
    """Rename a frame to IsolatedAtom if it is a single neutral atom without neighbours.

    This is decided by its name, or because no image is closer than `LONE_DISTANCE`. A note keeps
    the old name.
    """
    if len(frame) != 1 or frame.config_type == ISOLATED_ATOM or frame.charge:
        return
    named = "".join(c for c in frame.config_type.lower() if c.isalpha()) in _NAMES
    if not named:
        lengths = np.linalg.norm(frame.atoms.cell.array[frame.atoms.pbc], axis=1)
        # For the primitive cell of a crystal the lengths alone decide, at less cost.
        alone = (lengths >= LONE_DISTANCE).all() and image_distance(frame.atoms) >= LONE_DISTANCE
        if not alone:
            return
    frame.notes.append(f"{TAKEN}: config_type {frame.config_type}")
    frame.config_type = ISOLATED_ATOM
