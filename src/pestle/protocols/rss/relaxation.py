"""Relaxation of many crystals at once: atoms and cells under pressure, with torch-sim's FIRE.

torch-sim's own driver (version 0.3) has three problems: it marks a state at the step limit as
converged, it keeps collapsed crystals, and it documents its pressure in GPa although it takes
eV/Å³. This file therefore decides after each step (cell_fire.py), from the forces, which crystal
has ended and with which status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch_sim as ts
from ase import Atoms, units
from torch_sim.models.interface import ModelInterface
from torch_sim.optimizers import FrechetCellFIREState

from pestle.foundations.torch_sim import right_handed
from pestle.protocols.rss.cell_fire import fire_step
from pestle.structures.generation.spacing import covalent_sums, nearest, volume_guess

Status = Literal["relaxed", "out of steps", "diverged"]

#: A crystal has collapsed if its volume is below this share of the volume of a solid at rest: the
#: edges of its graph would fill the memory. Caesium, one of the softest elements, still has a fifth
#: of its volume at 50 GPa.
COLLAPSED = 0.1
#: A crystal has also collapsed if two atoms are closer than this share of the sum of their covalent
#: radii. It never recovers: it would stay in a false minimum and move until the last step.
OVERLAPPING = 0.2
#: Largest force, eV/Å. With larger forces, squared velocities would soon overflow float32.
RUNAWAY = 1e9
#: Steps between two checks of the distances.
_LOOK_EVERY = 10


@dataclass(frozen=True)
class Relaxation:
    """The result of relaxing one crystal.

    Attributes:
        status: `relaxed`; `out of steps`: finite but still moving; `diverged`: energy or forces
            were not finite, forces were above RUNAWAY, or the crystal collapsed (COLLAPSED,
            OVERLAPPING).
        steps: number of steps.
        atoms: the last geometry with finite energy and forces; the first geometry if there is none.
        first_energy: energy of the first geometry, eV.
        energy: energy of `atoms`, eV; NaN if no energy was finite.
        force: the largest force on an atom of `atoms`, or on its cell if that is larger, eV/Å. The
            force on the cell is the virial minus the contribution of the pressure, divided by the
            number of atoms, as in ASE's cell filters.
    """

    status: Status
    steps: int
    atoms: Atoms
    first_energy: float
    energy: float
    force: float


def relax(
    model: ModelInterface,
    crystals: Sequence[Atoms],
    *,
    pressure: float,
    fmax: float,
    max_steps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Relaxation]:
    """Relax crystals together; each crystal leaves the batch when its relaxation ends.

    The cell is deformed by the exponential of a matrix, as in ASE's FrechetCellFilter, so that it
    cannot be inverted. The last digits of the results depend on the other crystals of the batch.

    Args:
        model: gives energies, forces and stresses.
        crystals: structures that are periodic in three directions.
        pressure: GPa.
        fmax: a crystal is relaxed if its largest force (`Relaxation.force`) is below this, eV/Å.
        max_steps: largest number of steps.
        on_step: called after each step with the steps so far and the crystals that still move.

    Returns:
        The result of each crystal, in order.
    """
    start = [right_handed(atoms) for atoms in crystals]
    first, _ = ts.frechet_cell_fire(model, scalar_pressure=pressure * units.GPa)
    state = first(ts.io.atoms_to_state(start, model.device, model.dtype))
    least = np.array([COLLAPSED * volume_guess(atoms) for atoms in start])
    here = np.arange(len(start))  # which crystal each system of the state is
    now = _Moment(state)
    first_energy, before = np.where(now.finite, now.energy, np.nan), now
    found: dict[int, Relaxation] = {}
    for step in range(max_steps + 1):
        ended: dict[int, Status] = {}
        for k, crystal in enumerate(here.tolist()):
            collapsed = not now.volume[k] > least[crystal]
            if step % _LOOK_EVERY == 0 and now.finite[k]:
                moved = now.atoms(k, start[crystal])
                collapsed |= nearest(moved, covalent_sums()) < OVERLAPPING
            if collapsed or not now.finite[k]:
                ended[k] = "diverged"
            elif now.force[k] <= fmax:
                ended[k] = "relaxed"
            elif step == max_steps:
                ended[k] = "out of steps"
        for k, status in ended.items():
            crystal = int(here[k])
            shown = now if now.finite[k] else before
            atoms = shown.atoms(k, start[crystal])
            found[crystal] = Relaxation(
                status,
                step,
                atoms,
                float(first_energy[crystal]),
                float(shown.energy[k]) if shown.finite[k] else np.nan,
                float(shown.force[k]) if shown.finite[k] else np.nan,
            )
        moving = [k for k in range(len(here)) if k not in ended]
        if on_step is not None:
            on_step(step, len(moving))
        if not moving:
            break
        if ended:
            state, here = state[moving], here[moving]
            now = _Moment(state)
        before = now
        state = fire_step(model, state)
        now = _Moment(state)
    return [found[k] for k in range(len(start))]


class _Moment:
    """Values of the crystals in a state, copied to the CPU.

    Attributes:
        energy: [n_systems] eV.
        force: [n_systems] largest force on an atom or on the cell, eV/Å.
        volume: [n_systems] Å³.
        finite: [n_systems] whether these three are finite and the force is below RUNAWAY.
    """

    def __init__(self, state: FrechetCellFIREState) -> None:
        on_atoms = state.forces.norm(dim=1)
        largest = torch.zeros(state.n_systems, dtype=on_atoms.dtype, device=on_atoms.device)
        largest = largest.scatter_reduce(0, state.system_idx, on_atoms, "amax")
        force = torch.maximum(largest, state.cell_forces.norm(dim=2).amax(dim=1))
        self._cells, self._positions, self.energy, self.force = (
            values.detach().double().cpu().numpy().copy()
            for values in (state.row_vector_cell, state.positions, state.energy, force)
        )
        self._systems = state.system_idx.cpu().numpy()
        self.volume = np.linalg.det(self._cells)
        self.finite = np.isfinite(self.energy) & np.isfinite(self.volume) & (self.force < RUNAWAY)

    def atoms(self, k: int, like: Atoms) -> Atoms:
        """Return crystal k; the given atoms if its geometry was never valid."""
        if not self.finite[k]:
            return like.copy()
        positions = self._positions[self._systems == k]
        return Atoms(like.numbers, positions, cell=self._cells[k], pbc=True)
