"""The contract of an engine, and what makes it lose a structure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from ase import units

from pestle.protocols.dynamics.body import Body
from pestle.wording import figure

#: A lost body, the kind of the loss, and the reason in words.
Lost = tuple[Body, str, str]

#: An atom that moves this far in one step (Å) was ejected: at 800 K hydrogen moves 0.03 Å.
FARTHEST = 1.0
NOT_FINITE = ("not finite", "its energy or forces are not finite")
STRESS_NOT_FINITE = ("not finite", "its stress is not finite")


class Mover(ABC):
    """An engine for one segment. It receives the bodies at the beginning and updates them at each
    step.

    A body that is lost within a step (`lost`) keeps the state from before this step.
    """

    @abstractmethod
    def step(self, bodies: Sequence[Body], temperature: float) -> None:
        """Move the bodies by one time step.

        Args:
            bodies: the bodies that still move.
            temperature: temperature of the thermostat, K.
        """

    @abstractmethod
    def lost(self) -> list[Lost]:
        """Return the bodies that were lost since the last call."""


def moved_too_far(before: np.ndarray, now: np.ndarray) -> str | None:
    """Check how far the atoms moved in one step.

    Args:
        before, now: [n_atoms, 3] Å, positions before and after the step.

    Returns:
        What is wrong, in words; `None` if nothing is wrong.
    """
    moved = np.abs(now - before).max()
    if moved <= FARTHEST:
        return None
    if not np.isfinite(moved):
        return "its positions are not finite"
    return f"an atom moved by {figure(moved)} Å in one step"


def mean_stress(stress: np.ndarray) -> float:
    """Return a third of the trace of the stress, which is minus the pressure.

    Args:
        stress: [3, 3] eV/Å³.

    Returns:
        The mean stress, GPa.
    """
    return float(np.trace(stress)) / 3.0 / units.GPa
