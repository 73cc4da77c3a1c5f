"""Limits of a stable simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork
from pestle.protocols.dynamics.mover import Lost
from pestle.structures.neighbours import search, squared_lengths
from pestle.wording import figure, fixed


@dataclass(frozen=True)
class Limits:
    """Limits of a stable simulation. A structure beyond one of them is stopped at once.

    Attributes:
        hot: highest ratio of the atoms' temperature to that of the thermostat. The atoms'
            temperature is averaged over the past, with a memory of twice the thermostat's time
            constant, because a start that is not a minimum of the model heats up for a short time.
            The thermostat counts as at least 300 K, because a structure from a warmer simulation
            can start warmer than a cold thermostat. The limit is multiplied by 1 + 3·√(2/3N),
            because the temperature of N atoms fluctuates by √(2/3N).
        volume_change: largest relative change of the volume since the start.
        overlap: two atoms overlap if their distance divided by the sum of their covalent radii
            (from ASE, Cordero 2008, DOI 10.1039/b801115j) is below this value (paper A.5).
    """

    hot: float = 3.0
    volume_change: float = 0.5
    overlap: float = 0.5

    def hottest(self, thermostat: float, n_atoms: int) -> float:
        """Return the highest temperature, K, that is allowed.

        Args:
            thermostat: temperature of the thermostat, K.
            n_atoms: number of atoms in the structure.
        """
        return self.hot * max(thermostat, 300.0) * (1.0 + 3.0 * (2.0 / (3.0 * n_atoms)) ** 0.5)

    def beyond(
        self, bodies: Sequence[Body], thermostat: float, clock: Clockwork, *, overlap: bool
    ) -> list[Lost]:
        """Find the bodies that are beyond the limits after a step.

        Args:
            bodies: bodies to examine; their `warmth` is updated.
            thermostat: temperature of the thermostat, K.
            clock: gives time step and friction.
            overlap: whether overlapping atoms are searched too.

        Returns:
            The lost bodies, each with kind and reason.
        """
        found: list[Lost] = []
        share = min(1.0, 0.5 * clock.friction * clock.timestep)
        for body in bodies:
            body.warmth += share * (body.temperature - body.warmth)
            change = body.volume / body.first_volume - 1.0
            if not body.warmth <= self.hottest(thermostat, len(body)):
                text = f"its temperature ran away to {figure(body.temperature, 4)} K"
                found.append((body, "temperature", text))
            elif abs(change) > self.volume_change:
                found.append(
                    (body, "volume", f"its volume changed by {fixed(100 * change, 0, sign=True)} %")
                )
            elif overlap and (pair := closest_overlap(body.atoms(), self.overlap)):
                found.append((body, "overlap", pair))
        return found


def closest_overlap(atoms: Atoms, share: float) -> str | None:
    """Find the two atoms that overlap most.

    Args:
        atoms: a structure with any periodicity.
        share: two atoms overlap if their distance is below this fraction of the sum of their
            covalent radii.

    Returns:
        The two atoms and their distance, in words; `None` if no atoms overlap.
    """
    radii, cell = covalent_radii[atoms.numbers], atoms.cell.array
    pairs = search(atoms.positions, cell, atoms.pbc, 2.0 * share * radii.max())
    if not len(pairs):
        return None
    i, j = pairs.edge_index
    d = np.sqrt(squared_lengths(atoms.positions, pairs, cell[None]))
    nearness = d / (radii[i] + radii[j])
    worst = int(np.argmin(nearness))
    if nearness[worst] >= share:
        return None
    names = [f"{chemical_symbols[atoms.numbers[k]]}{k}" for k in (i[worst], j[worst])]
    return f"its atoms {names[0]} and {names[1]} overlap at {d[worst]:.2f} Å"
