"""The two energies with smearing: the free energy and the energy extrapolated to zero smearing.

Forces and stress are derivatives of the free energy. The forces of a model are derivatives of its
energy, so the model must learn the free energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Two energies of a frame that differ by less are the same (eV).
SAME_ENERGY = 1e-6
#: Largest difference that smearing can explain (eV/atom). If it is larger, `free_energy` is
#: something else, such as a Gibbs energy with vibrations.
SMEARING_LIMIT = 0.1

_OTHER = {"energy": "free_energy", "free_energy": "energy"}


def energy_names(calculated: Mapping[str, Any], n_atoms: int) -> tuple[str, str]:
    """Return the names of the two energies in a calculator's results, the preferred one first."""
    energy, free = (_number(calculated.get(name)) for name in ("energy", "free_energy"))
    if energy is None or free is None:
        return "energy", "free_energy"
    is_smearing = SAME_ENERGY < abs(free - energy) <= SMEARING_LIMIT * n_atoms
    return ("free_energy", "energy") if is_smearing else ("energy", "free_energy")


def energy_gap(key: str, energy: float, calculated: Mapping[str, Any]) -> float | None:
    """Return how far the other energy lies above the one that was read.

    Args:
        key: name of the energy that was read.
        energy: its value, eV.
        calculated: results of the calculator.

    Returns:
        eV; `None` unless the calculator has both and they differ.
    """
    other = _number(calculated.get(_OTHER.get(key, "")))
    if other is None or _number(calculated.get(key)) is None:
        return None
    return other - energy if abs(other - energy) > SAME_ENERGY else None


def _number(value: Any) -> float | None:
    """Return a finite number; `None` for anything else."""
    try:
        array = np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError):
        return None
    return float(array[0]) if array.size == 1 and np.isfinite(array[0]) else None
