"""The state of a moving structure, and the parameters of a molecular dynamics run."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols, covalent_radii

from pestle.structures.frame import Frame
from pestle.structures.neighbours import search, squared_lengths

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


@dataclass
class Body:
    """One moving structure. Units are eV, Å, u and ASE's unit of time.

    Attributes:
        index: position among the starting structures.
        frame: the starting structure.
        masses: [n_atoms] u.
        positions, momenta: [n_atoms, 3]. Positions are never wrapped into the cell, so that both
            atoms of a bond stay next to each other.
        cell: [3, 3] Å, lattice vectors are rows.
        piston: momentum of the logarithm of the cell length.
        warmth: running average of the temperature, K (see `Limits`).
        energy: potential energy, eV; NaN before the first prediction.
        stress: a third of the trace of the stress, GPa; NaN before the first prediction and in
            ensembles other than constant pressure.
        first_volume: volume at the start, Å³; NaN unless periodic in three directions.
        stopped: where and why the structure was stopped; `None` while it moves.
        rng: random generator of its noise.
    """

    index: int
    frame: Frame
    masses: np.ndarray
    positions: np.ndarray
    momenta: np.ndarray
    cell: np.ndarray
    first_volume: float
    piston: float = 0.0
    warmth: float = 0.0
    energy: float = float("nan")
    stress: float = float("nan")
    stopped: Stop | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @classmethod
    def of(cls, frame: Frame, index: int) -> Body:
        """Return a structure at rest.

        Args:
            frame: the starting structure.
            index: its position among the starting structures.
        """
        atoms = frame.atoms
        return cls(
            index,
            frame,
            atoms.get_masses(),
            np.array(atoms.positions, dtype=float),
            np.zeros((len(atoms), 3)),
            np.array(atoms.cell.array, dtype=float),
            abs(float(np.linalg.det(atoms.cell.array))) if frame.is_periodic else float("nan"),
        )

    def __len__(self) -> int:
        return len(self.masses)

    @property
    def kinetic_energy(self) -> float:
        """Kinetic energy, eV."""
        return float(0.5 * np.sum(self.momenta**2 / self.masses[:, None]))

    @property
    def temperature(self) -> float:
        """Temperature in K, with 3·N degrees of freedom: Langevin noise also moves the centre of
        mass.
        """
        return 2.0 * self.kinetic_energy / (3.0 * len(self) * units.kB)

    @property
    def volume(self) -> float:
        """Volume in Å³; NaN unless periodic in three directions."""
        if not self.frame.is_periodic:
            return float("nan")
        return abs(float(np.linalg.det(self.cell)))

    @property
    def charge_and_spin(self) -> tuple[float, float]:
        """Total charge (e) and spin multiplicity."""
        frame = self.frame
        return (
            0.0 if frame.charge is None else frame.charge,
            1.0 if frame.spin is None else frame.spin,
        )

    def atoms(self) -> Atoms:
        """The structure as it is now, at rest, without calculator; charge and spin in `info`."""
        charge, spin = self.charge_and_spin
        made = Atoms(self.frame.numbers, self.positions, cell=self.cell, pbc=self.frame.atoms.pbc)
        made.set_masses(self.masses)
        # The names that calculators use.
        made.info = {"charge": charge, "total_charge": charge, "spin": spin, "total_spin": spin}
        return made

    def draw_momenta(self, temperature: float, rng: np.random.Generator) -> None:
        """Draw Maxwell–Boltzmann momenta and remove the motion of the structure as a whole.

        Args:
            temperature: K.
            rng: source of the random numbers.
        """
        masses = self.masses[:, None]
        spread = np.sqrt(masses * units.kB * temperature)
        velocities = spread * rng.standard_normal(self.positions.shape) / masses
        velocities -= np.sum(masses * velocities, axis=0) / masses.sum()
        if not self.frame.atoms.pbc.any():
            arms = self.positions - np.sum(masses * self.positions, axis=0) / masses.sum()
            turning = np.sum(masses * np.cross(arms, velocities), axis=0)
            inertia = np.sum(arms**2 * masses) * np.eye(3) - (masses * arms).T @ arms
            # A linear molecule has no moment of inertia about its axis.
            velocities -= np.cross(np.linalg.pinv(inertia, rcond=1e-9) @ turning, arms)
        self.momenta = masses * velocities
        self.warmth = self.temperature

    def state(self) -> dict[str, Any]:
        """Return the arrays that the next segment starts from."""
        stop = "" if self.stopped is None else json.dumps(asdict(self.stopped))
        return {
            "positions": self.positions,
            "momenta": self.momenta,
            "cell": self.cell,
            "piston": self.piston,
            "warmth": self.warmth,
            "stop": np.array(stop),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Set the body to a stored state.

        Args:
            arrays: as `state` returned them.
        """
        self.positions, self.momenta = arrays["positions"], arrays["momenta"]
        self.cell, self.piston = arrays["cell"], float(arrays["piston"])
        self.warmth = float(arrays["warmth"])
        stop = str(arrays["stop"])
        self.stopped = Stop(**json.loads(stop)) if stop else None


def mean_stress(stress: np.ndarray) -> float:
    """Return a third of the trace of the stress, which is minus the pressure.

    Args:
        stress: [3, 3] eV/Å³.

    Returns:
        The mean stress, GPa.
    """
    return float(np.trace(stress)) / 3.0 / units.GPa


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
    return f"an atom moved by {moved:.3g} Å in one step"


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
                text = f"its temperature ran away to {body.temperature:.4g} K"
                found.append((body, "temperature", text))
            elif abs(change) > self.volume_change:
                found.append((body, "volume", f"its volume changed by {100 * change:+.0f} %"))
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
