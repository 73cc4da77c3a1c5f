"""ASE databases: their additional tables are stored where files have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase.db
import numpy as np
from ase import Atoms


def read_database(path: Path) -> Iterator[Atoms]:
    """Read the rows of a database; `ase.io` would only return the results of their calculators."""
    with ase.db.connect(path.absolute()) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            for name, value in row.data.items():
                per_atom = np.ndim(value) == 2 and np.shape(value) == (len(atoms), 3)
                is_stress = "stress" in name or "virial" in name  # 3×3 also in three atoms
                store = atoms.arrays if per_atom and not is_stress else atoms.info
                store[name] = np.asarray(value) if np.ndim(value) else value
            yield atoms
