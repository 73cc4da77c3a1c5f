"""Molecular dynamics of several structures at once with a torch-sim model.

The model comes from torch-sim, the integrator does not. torch-sim 0.3.0 has three problems:

- Its constant-pressure integrator drives the volume with the stress along x alone, treats a virial
  as a pressure, and predicts twice in each step.
- Its noise comes from the global generator for the whole batch. If a lost structure is removed, the
  noise of the other structures changes.
- Its states have the precision of the model. The positions of a float32 model would be rounded at
  every step.

This file implements the scheme of ASE's `LangevinBAOAB` and draws the noise in the same order. Both
engines therefore give the same trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, sqrt

import numpy as np
import torch
import torch_sim as ts
from ase import units
from torch_sim.models.interface import ModelInterface

from pestle.errors import PestleError
from pestle.foundations.devices import is_out_of_memory
from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.mover import (
    NOT_FINITE,
    STRESS_NOT_FINITE,
    Lost,
    Mover,
    mean_stress,
    moved_too_far,
)
from pestle.protocols.potential import Potential
from pestle.wording import counted

#: The outputs of a torch-sim model.
KEYS = ("energy", "forces", "stress")


class BatchMover(Mover):
    """Moves structures of one periodicity, charge and spin through one segment.

    Args:
        model: predicts all structures at once.
        bodies: the structures.
        leg: gives the ensemble.
        clock: gives time step and friction.
    """

    def __init__(
        self, model: ModelInterface, bodies: Sequence[Body], leg: Leg, clock: Clockwork
    ) -> None:
        self.model, self.leg, self.clock = model, leg, clock
        self._npt = leg.ensemble == "npt" and bodies[0].frame.is_periodic
        self._thermal = leg.ensemble != "nve"
        self._forces: dict[int, np.ndarray] = {}
        self._push: dict[int, float] = {}
        self._lost: list[Lost] = []
        self._batch: _Batch | None = None
        for body, energy, forces, stress in self._predict(bodies):
            body.stress = float("nan")
            wrong = self._not_finite(energy, forces, stress)
            if wrong is not None:
                self._lost.append((body, *wrong))
                continue
            self._accept(body, energy, forces, stress)

    @classmethod
    def maker(cls, potential: Potential) -> Callable[[list[Body], Leg, Clockwork], Mover]:
        """Return the function that makes the engine of a segment.

        Args:
            potential: provides the models; one model is made for each charge and spin.
        """
        models: dict[tuple[float, float], ModelInterface] = {}

        def make(bodies: list[Body], leg: Leg, clock: Clockwork) -> Mover:
            kind = bodies[0].charge_and_spin
            if kind not in models:
                models[kind] = potential.batched(*kind)
            return cls(models[kind], bodies, leg, clock)

        return make

    def lost(self) -> list[Lost]:
        found, self._lost = self._lost, []
        return found

    def step(self, bodies: Sequence[Body], temperature: float) -> None:
        """Move the bodies by one time step: B A O A for each, one prediction for all, B for each.

        Args:
            bodies: the structures that still move.
            temperature: temperature of the thermostat, K.
        """
        # None of these arrays is changed in place.
        before = {b.index: (b.positions, b.momenta, b.cell, b.piston) for b in bodies}
        whole = []
        for body in bodies:
            self._move(body, temperature)
            far = moved_too_far(before[body.index][0], body.positions)
            if far is None:
                whole.append(body)
            else:
                self._lose(body, before, ("runaway", far))
        for body, energy, forces, stress in self._predict(whole):
            wrong = self._not_finite(energy, forces, stress)
            if wrong is not None:
                self._lose(body, before, wrong)
                continue
            self._accept(body, energy, forces, stress)
            self._kick(body)

    def _lose(self, body: Body, before: dict[int, tuple], why: tuple[str, str]) -> None:
        body.positions, body.momenta, body.cell, body.piston = before[body.index]
        self._lost.append((body, *why))

    def _not_finite(
        self, energy: float, forces: np.ndarray, stress: np.ndarray
    ) -> tuple[str, str] | None:
        """Describe what is wrong with a prediction; `None` if all its numbers are finite."""
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            return NOT_FINITE
        return None if not self._npt or np.isfinite(stress).all() else STRESS_NOT_FINITE

    # -- the scheme -----------------------------------------------------------------------------
    def _kick(self, body: Body) -> None:
        """B: advance the momenta of atoms and piston by half a step."""
        if self._npt:
            body.piston += 0.5 * self.clock.dt * self._push[body.index]
        body.momenta = body.momenta + 0.5 * self.clock.dt * self._forces[body.index]

    def _move(self, body: Body, temperature: float) -> None:
        """Make the parts B A O A of one step.

        Args:
            body: the structure.
            temperature: temperature of the thermostat, K.
        """
        clock, half = self.clock, 0.5 * self.clock.dt
        masses, kT = body.masses[:, None], units.kB * temperature
        mass = clock.piston_mass(len(body))
        self._kick(body)
        if self._npt:
            self._stretch(body, exp(half * body.piston / mass))
        positions = body.positions + half * body.momenta / masses
        drag = 0.0
        if self._npt:
            drag = (1.0 + 1.0 / len(body)) * body.piston / mass  # 3 / degrees of freedom = 1 / N
        if self._thermal:
            friction = clock.friction / units.fs
            noise = np.sqrt(masses) * body.rng.normal(size=positions.shape)
            spread = sqrt(kT * (1.0 - exp(-2.0 * friction * clock.dt)))
            momenta = body.momenta * exp(-(friction + drag) * clock.dt) + spread * noise
            if self._npt:
                friction = 1.0 / (1e3 * clock.barostat * units.fs)
                spread = sqrt(kT * mass * (1.0 - exp(-2.0 * friction * clock.dt)))
                body.piston *= exp(-friction * clock.dt)
                body.piston += spread * body.rng.normal()
            body.momenta = momenta
        body.positions = positions + half * body.momenta / masses
        if self._npt:
            self._stretch(body, exp(half * body.piston / mass))

    @staticmethod
    def _stretch(body: Body, factor: float) -> None:
        body.cell, body.positions = body.cell * factor, body.positions * factor

    def _accept(self, body: Body, energy: float, forces: np.ndarray, stress: np.ndarray) -> None:
        """Store a prediction; the force on the piston is Quigley and Probert's Eq. 6."""
        body.energy, self._forces[body.index] = energy, forces
        if self._npt:
            body.stress = mean_stress(stress)
            kinetic, pressure = 2.0 * body.kinetic_energy, self.leg.pressure * units.GPa
            internal = kinetic - body.volume * float(np.trace(stress))
            push = internal - 3.0 * body.volume * pressure + kinetic / len(body)
            self._push[body.index] = push

    # -- the model ------------------------------------------------------------------------------
    def _predict(self, bodies: Sequence[Body]) -> list[tuple[Body, float, np.ndarray, np.ndarray]]:
        """Return each body with its energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        if not bodies:
            return []
        if self._batch is None or not self._batch.holds(bodies):
            self._batch = _Batch(self.model, bodies)
        try:
            energy, forces, stress = self._batch.predict()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise PestleError(
                f"out of memory on {self.model.device} with {counted(len(bodies), 'structure')} of "
                f"{counted(sum(map(len, bodies)), 'atom')} at once",
                where=bodies[0].frame.where,
                fix="Use the engine ase, which moves one at a time, or fewer structures.",
            ) from None
        split = np.split(forces, np.cumsum([len(body) for body in bodies])[:-1])
        return list(zip(bodies, energy.tolist(), split, stress, strict=True))


class _Batch:
    """Bodies as a torch-sim state, whose values are replaced at every step."""

    def __init__(self, model: ModelInterface, bodies: Sequence[Body]) -> None:
        self.model, self.bodies = model, list(bodies)
        self._put = {"device": model.device, "dtype": torch.float64}
        counts = torch.tensor([len(body) for body in bodies])
        self.state = ts.SimState(
            positions=self._positions(),
            masses=torch.tensor(np.concatenate([b.masses for b in bodies]), **self._put),
            cell=self._cells(),
            pbc=bool(bodies[0].frame.is_periodic),
            atomic_numbers=torch.tensor(
                np.concatenate([b.frame.numbers for b in bodies]), device=model.device
            ),
            system_idx=torch.repeat_interleave(torch.arange(len(bodies)), counts).to(model.device),
        )

    def holds(self, bodies: Sequence[Body]) -> bool:
        """Whether the batch contains exactly these bodies."""
        return [b.index for b in bodies] == [b.index for b in self.bodies]

    def predict(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return energies [n] eV, forces [n_atoms, 3] eV/Å and stresses [n, 3, 3] eV/Å³."""
        self.state.positions, self.state.cell = self._positions(), self._cells()
        said = self.model(self.state)
        values = (said[key].detach().double().cpu().numpy() for key in KEYS)
        energy, forces, stress = values
        return energy, forces, stress

    def _positions(self) -> torch.Tensor:
        return torch.tensor(np.concatenate([b.positions for b in self.bodies]), **self._put)

    def _cells(self) -> torch.Tensor:
        # In torch-sim the lattice vectors are the columns of the cell.
        return torch.tensor(np.stack([b.cell.T for b in self.bodies]), **self._put)
