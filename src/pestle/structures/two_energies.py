"""Energies with smearing: programs give the free energy and one extrapolated to zero smearing.

Forces and stress are derivatives of the free energy. A model's forces are those of its energy, so
that is the one it has to learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: eV within which two energies of one frame are the same.
SAME_ENERGY = 1e-6
#: eV/atom that smearing can explain. Further apart, `free_energy` is something else, such as a
#: Gibbs energy with vibrations.
SMEARING_LIMIT = 0.1

_OTHER = {"energy": "free_energy", "free_energy": "energy"}


def energy_names(calculated: Mapping[str, Any], n_atoms: int) -> tuple[str, str]:
    """Names of the energy among a calculator's results, the one to take first."""
    energy, free = (_number(calculated.get(name)) for name in ("energy", "free_energy"))
    if energy is None or free is None:
        return "energy", "free_energy"
    is_smearing = SAME_ENERGY < abs(free - energy) <= SMEARING_LIMIT * n_atoms
    return ("free_energy", "energy") if is_smearing else ("energy", "free_energy")


def energy_gap(key: str, energy: float, calculated: Mapping[str, Any]) -> float | None:
    """eV by which the other one lies above the energy that was read from `key`.

    `None` where the calculator does not hold both, or they are the same.
    """
    other = _number(calculated.get(_OTHER.get(key, "")))
    if other is None or _number(calculated.get(key)) is None:
        return None
    return other - energy if abs(other - energy) > SAME_ENERGY else None


def _number(value: Any) -> float | None:
    """A finite number; `None` for anything else."""
    try:
        array = np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError):
        return None
    return float(array[0]) if array.size == 1 and np.isfinite(array[0]) else None
