"""The state of a moving structure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms, units

from pestle.protocols.dynamics.course import Stop
from pestle.protocols.dynamics.stored import BodyState
from pestle.structures.frame import Frame


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

    def state(self) -> BodyState:
        """Return what the next segment starts from."""
        return BodyState(
            positions=self.positions,
            momenta=self.momenta,
            cell=self.cell,
            piston=self.piston,
            warmth=self.warmth,
            stop="" if self.stopped is None else self.stopped.to_text(),
        )

    def restore(self, state: BodyState) -> None:
        """Set the body to a stored state."""
        self.positions, self.momenta = state.positions, state.momenta
        self.cell, self.piston = state.cell, state.piston
        self.warmth, self.stopped = state.warmth, Stop.of_text(state.stop)
