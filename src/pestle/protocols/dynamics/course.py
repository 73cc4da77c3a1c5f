"""The course of a molecular dynamics run: legs, clock, and where a structure was stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from ase import units

Ensemble = Literal["npt", "nvt", "nve"]


@dataclass(frozen=True)
class Leg:
    """One part of a run, with one ensemble.

    Attributes:
        name: `steady`, `ramp` or `nve`.
        time: length of the leg, ps.
        ensemble: the quantities that are held constant in addition to the number of atoms.
        temperature: temperature of the thermostat at the beginning, K. In `nve` there is no
            thermostat; the temperature of the atoms is compared with this value.
        temperature_end: temperature of the thermostat at the end, K. It changes linearly in
            between. `None`: it is constant.
        pressure: pressure of the barostat, GPa.
    """

    name: str
    time: float
    ensemble: Ensemble
    temperature: float
    temperature_end: float | None = None
    pressure: float = 0.0

    def at(self, share: float) -> float:
        """Return the temperature of the thermostat in K.

        Args:
            share: fraction of the leg that has passed, 0 to 1.
        """
        end = self.temperature if self.temperature_end is None else self.temperature_end
        return self.temperature + share * (end - self.temperature)


@dataclass(frozen=True)
class Clockwork:
    """Time step, coupling constants and intervals of a run.

    Attributes:
        timestep: time step, fs.
        friction: friction of the Langevin thermostat, 1/fs.
        every: time between two stored frames, ps.
        segment: time between two stored states, ps.
        barostat: time constant τ of the piston, ps. The mass of the piston is 3·N·k_B·(300 K)·τ²
            (after Martyna, Tobias and Klein, DOI 10.1063/1.467468), its friction is 1/τ. The
            temperature in the mass is fixed, so that a ramp does not change the mass. The volume of
            a solid oscillates with a period of 0.2 to 0.8 τ.
        engine: `auto` chooses torch-sim for several structures on a network. It chooses ASE for one
            structure, for any other calculator, and for structures that are periodic in only one or
            two directions.
    """

    timestep: float
    friction: float = 0.01
    every: float = 0.05
    segment: float = 0.5
    barostat: float = 1.0
    engine: Literal["auto", "ase", "torch-sim"] = "auto"

    @property
    def dt(self) -> float:
        """Time step in ASE's unit of time."""
        return self.timestep * units.fs

    def piston_mass(self, n_atoms: int) -> float:
        """Mass of the piston in ASE's units (eV · time²)."""
        return 3.0 * n_atoms * units.kB * 300.0 * (1e3 * self.barostat * units.fs) ** 2


@dataclass(frozen=True)
class Stop:
    """Where and why a structure was stopped.

    Attributes:
        step: number of the step in the run, from 0.
        time: time since the beginning of the run, ps.
        leg: name of the leg.
        kind: `not finite`, `runaway`, `overlap`, `temperature` or `volume`.
        reason: a clause in words whose subject is "it".
        thermostat: temperature of the thermostat at that time, K.
    """

    step: int
    time: float
    leg: str
    kind: str
    reason: str
    thermostat: float

    def to_text(self) -> str:
        """Return the text by which it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Stop | None:
        """Read a stored text; `None` if it is empty."""
        return cls(**json.loads(text)) if text else None
