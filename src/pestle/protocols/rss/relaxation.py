"""Relaxation of many crystals at once: atoms and cells under a pressure, with torch-sim's FIRE.

torch-sim's own driver calls a state that reached the step limit converged, keeps crystals that
collapse, and names its pressure GPa while it takes eV/Å³ (version 0.3). Which crystal ends, when
and as what, is decided here, after each step (cell_fire.py) from its forces.
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

#: A crystal below this share of the volume that its atoms take in a solid at rest has collapsed:
#: the edges of its graph would fill the memory. Caesium, one of the softest, keeps a fifth at 50
#: GPa.
COLLAPSED = 0.1
#: So has one with two atoms nearer than this share of the sum of their covalent radii, which none
#: comes back from: at the bottom of a hole in the potential it would move until the last step.
OVERLAPPING = 0.2
#: eV/Å; with forces beyond it the squares of velocities would soon not fit single precision.
RUNAWAY = 1e9
#: Steps between two looks at the distances.
_LOOK_EVERY = 10


@dataclass(frozen=True)
class Relaxation:
    """What became of one crystal.

    Attributes:
        status: `relaxed`; `out of steps`, finite but still moving; `diverged`, where energy or
            forces were no finite numbers any more (or forces above RUNAWAY), or the crystal
            collapsed (COLLAPSED, OVERLAPPING).
        steps: that it took.
        atoms: its last geometry with finite energy and forces; the first one where none has.
        first_energy: energy of the geometry that it started from, eV.
        energy: of `atoms`, eV; NaN where none was finite.
        force: the largest force on an atom of `atoms`, or on its cell if that is larger, eV/Å. That
            on the cell is the virial less the pressure's share, over the number of atoms, as in
            ASE's cell filters.
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
    """Relax crystals together; each leaves the batch when it has ended.

    The cell is deformed by the exponential of a matrix, as ASE's FrechetCellFilter does, so that it
    never turns inside out. The numbers depend in their last digits on which crystals are together.

    Args:
        model: gives stresses.
        crystals: all periodic in three directions.
        pressure: GPa.
        fmax: largest force (`Relaxation.force`) of a relaxed crystal, eV/Å.
        max_steps: steps at most.
        on_step: called after each step with the steps so far and the crystals that still move.
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
                collapsed |= _overlaps(now.atoms(k, start[crystal]))
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
    """Where the crystals of a state are, copied to the CPU.

    Attributes:
        energy: [n_systems] eV.
        force: [n_systems] eV/Å, the largest on an atom or on the cell.
        volume: [n_systems] Å³.
        finite: [n_systems], whether these three are numbers, and the force below RUNAWAY.
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
        """Crystal k; the given atoms where it never was one."""
        if not self.finite[k]:
            return like.copy()
        positions = self._positions[self._systems == k]
        return Atoms(like.numbers, positions, cell=self._cells[k], pbc=True)


def _overlaps(atoms: Atoms) -> bool:
    """Whether two atoms, images included, lie within OVERLAPPING of each other."""
    return nearest(atoms, covalent_sums()) < OVERLAPPING
