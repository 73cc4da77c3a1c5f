"""A structure in motion, and what a run of molecular dynamics is made of."""

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
    """One stretch of a run.

    Attributes:
        name: `steady`, `ramp`, `nve`.
        time: its length, ps.
        ensemble: what is held constant besides the number of atoms.
        temperature: of the thermostat at its beginning, K; in `nve` what the atoms' is compared
            with.
        temperature_end: of the thermostat at its end, K, with a straight line between; `None`: the
            same all along.
        pressure: of the piston, GPa.
    """

    name: str
    time: float
    ensemble: Ensemble
    temperature: float
    temperature_end: float | None = None
    pressure: float = 0.0

    def at(self, share: float) -> float:
        """Temperature of the thermostat after a share of the leg, K."""
        end = self.temperature if self.temperature_end is None else self.temperature_end
        return self.temperature + share * (end - self.temperature)


@dataclass(frozen=True)
class Clockwork:
    """How a run is integrated and cut up.

    Attributes:
        timestep: fs.
        friction: of the Langevin thermostat, 1/fs.
        every: time between two frames that are kept, ps.
        segment: time after which the state is written, ps.
        barostat: time constant τ of the piston, ps: its mass is 3·N·k_B·(300 K)·τ² (after Martyna,
            Tobias and Klein, DOI 10.1063/1.467468; the temperature is fixed so that a ramp does not
            change the mass), its friction 1/τ. A solid's volume then swings with a period of 0.2 to
            0.8 τ.
        engine: `auto`: torch-sim for several structures on a network; ASE for one, for any other
            calculator, and for structures that are periodic in some directions only.
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
        step: of the run, from 0.
        time: ps since its beginning.
        leg: its name.
        kind: `not finite`, `runaway`, `overlap`, `temperature` or `volume`.
        reason: in words, a clause about "it".
        thermostat: its temperature then, K.
    """

    step: int
    time: float
    leg: str
    kind: str
    reason: str
    thermostat: float


@dataclass
class Body:
    """One structure in motion. eV, Å, u and ASE's unit of time.

    Attributes:
        index: among the starting structures.
        frame: that it started from.
        masses: [n_atoms].
        positions, momenta: [n_atoms, 3]; positions are never wrapped, so that a bond keeps its two
            atoms and their cells.
        cell: [3, 3], rows.
        piston: momentum of the logarithm of the cell's length.
        warmth: temperature averaged over the past, K (`Limits`).
        energy: potential energy; NaN before the first prediction.
        stress: GPa, a third of its trace; NaN before the first prediction, and unless at constant
            pressure.
        first_volume: Å³, of the start; NaN unless periodic in three directions.
        stopped: where and why; `None` while it moves.
        rng: its noise.
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
        """A structure at rest."""
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
        """eV."""
        return float(0.5 * np.sum(self.momenta**2 / self.masses[:, None]))

    @property
    def temperature(self) -> float:
        """K, over 3·N degrees of freedom: Langevin noise moves the centre of mass too."""
        return 2.0 * self.kinetic_energy / (3.0 * len(self) * units.kB)

    @property
    def volume(self) -> float:
        """Å³; NaN unless periodic in three directions."""
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
        # As calculators call them.
        made.info = {"charge": charge, "total_charge": charge, "spin": spin, "total_spin": spin}
        return made

    def draw_momenta(self, temperature: float, rng: np.random.Generator) -> None:
        """Maxwell–Boltzmann momenta, less those of the structure as a whole."""
        masses = self.masses[:, None]
        spread = np.sqrt(masses * units.kB * temperature)
        velocities = spread * rng.standard_normal(self.positions.shape) / masses
        velocities -= np.sum(masses * velocities, axis=0) / masses.sum()
        if not self.frame.atoms.pbc.any():
            arms = self.positions - np.sum(masses * self.positions, axis=0) / masses.sum()
            turning = np.sum(masses * np.cross(arms, velocities), axis=0)
            inertia = np.sum(arms**2 * masses) * np.eye(3) - (masses * arms).T @ arms
            # A linear molecule has no moment about its axis.
            velocities -= np.cross(np.linalg.pinv(inertia, rcond=1e-9) @ turning, arms)
        self.momenta = masses * velocities
        self.warmth = self.temperature

    def state(self) -> dict[str, Any]:
        """Arrays that the next segment starts from."""
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
        """Go on from them."""
        self.positions, self.momenta = arrays["positions"], arrays["momenta"]
        self.cell, self.piston = arrays["cell"], float(arrays["piston"])
        self.warmth = float(arrays["warmth"])
        stop = str(arrays["stop"])
        self.stopped = Stop(**json.loads(stop)) if stop else None


def mean_stress(stress: np.ndarray) -> float:
    """GPa, a third of the trace of a stress [3, 3] in eV/Å³; minus the pressure."""
    return float(np.trace(stress)) / 3.0 / units.GPa


#: A body that is lost, in which way, and in words.
Lost = tuple[Body, str, str]

#: An atom that moves so far in one step (Å) has been thrown out: at 800 K hydrogen moves 0.03 Å.
FARTHEST = 1.0
NOT_FINITE = ("not finite", "its energy or forces are not finite")
STRESS_NOT_FINITE = ("not finite", "its stress is not finite")


class Mover(ABC):
    """An engine over one segment: bodies go in at its beginning and are up to date after each step.

    Bodies that are lost within a step (`lost`) are left as they were before it.
    """

    @abstractmethod
    def step(self, bodies: Sequence[Body], temperature: float) -> None:
        """Move these bodies by a time step; the thermostat is at `temperature` (K)."""

    @abstractmethod
    def lost(self) -> list[Lost]:
        """Bodies lost since this was last asked."""


def moved_too_far(before: np.ndarray, now: np.ndarray) -> str | None:
    """What is wrong with a step, positions [n_atoms, 3] in Å; `None` if nothing."""
    moved = np.abs(now - before).max()
    if moved <= FARTHEST:
        return None
    if not np.isfinite(moved):
        return "its positions are not finite"
    return f"an atom moved by {moved:.3g} Å in one step"


@dataclass(frozen=True)
class Limits:
    """Hard signs of instability, at which a run ends at once.

    Attributes:
        hot: temperature of the atoms over that of the thermostat, averaged over the past with a
            memory of twice the thermostat's: heat that it cannot carry off. (A start that is no
            minimum of the model heats up for a moment.) What is compared with is at least 300 K,
            since a structure from a warmer simulation warms a colder start, and wider for few
            atoms, whose temperature fluctuates by √(2/3N): times 1 + 3·√(2/3N).
        volume_change: relative change of the volume since the start.
        overlap: distance over the sum of the covalent radii (ASE's, Cordero 2008,
            DOI 10.1039/b801115j) below which two atoms overlap (paper A.5).
    """

    hot: float = 3.0
    volume_change: float = 0.5
    overlap: float = 0.5

    def hottest(self, thermostat: float, n_atoms: int) -> float:
        """K, above which so many atoms are lost."""
        return self.hot * max(thermostat, 300.0) * (1.0 + 3.0 * (2.0 / (3.0 * n_atoms)) ** 0.5)

    def beyond(
        self, bodies: Sequence[Body], thermostat: float, clock: Clockwork, *, overlap: bool
    ) -> list[Lost]:
        """Bodies beyond the limits, after a step.

        Args:
            bodies: to look at; their `warmth` is brought up to date.
            thermostat: its temperature, K.
            clock: time step and friction.
            overlap: whether to look for overlapping atoms too.
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
    """The two atoms that overlap most, in words; `None` where none do.

    Args:
        atoms: with any periodicity.
        share: of the sum of the covalent radii, below which two atoms overlap.
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
