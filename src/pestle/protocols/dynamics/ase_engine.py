"""Molecular dynamics of one structure with ASE's integrator and any ASE calculator.

Every segment makes a new `LangevinBAOAB` of ASE. Its complete state is positions, momenta, cell
and the momentum of its piston.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from pestle.errors import PestleError
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

try:
    from ase.md.langevinbaoab import LangevinBAOAB
except ImportError as error:  # ASE before 3.27
    raise PestleError(
        "this version of ASE has no LangevinBAOAB",
        where="engine ase",
        fix="pip install --upgrade ase, or use the engine torch-sim.",
    ) from error


class AseMover(Mover):
    """Moves one structure through one segment with ASE.

    Args:
        calculator: gives energy, forces and, for the ensemble `npt`, stress.
        bodies: the structure, as a sequence of length one.
        leg: gives the ensemble.
        clock: gives time step and friction.
    """

    def __init__(
        self, calculator: Calculator, bodies: Sequence[Body], leg: Leg, clock: Clockwork
    ) -> None:
        (self.body,) = bodies
        self._lost: list[Lost] = []
        body, thermal = self.body, leg.ensemble != "nve"
        barostat: dict[str, Any] = {}
        if leg.ensemble == "npt" and body.frame.is_periodic:
            barostat = {
                "externalstress": -leg.pressure * units.GPa,
                "hydrostatic": True,
                "P_tau": 1e3 * clock.barostat * units.fs,
                "P_mass": clock.piston_mass(len(body)),
            }
        body.stress = float("nan")
        self._guard = _Guarded(calculator, body, bool(barostat))
        self._atoms = body.atoms()
        self._atoms.set_momenta(body.momenta)
        self._atoms.calc = self._guard
        try:
            self._dynamics = LangevinBAOAB(
                self._atoms,
                clock.dt,
                temperature_K=leg.temperature if thermal else None,
                T_tau=units.fs / clock.friction if thermal else None,
                rng=body.rng if thermal else None,
                **barostat,
            )
        except _Broken as broken:
            self._lost.append((body, *broken.why))
            return
        self._thermal, self._piston = thermal, bool(barostat)
        if self._piston:
            self._dynamics.p_eps = body.piston
        body.energy, body.stress = self._guard.energy, self._guard.pull

    @classmethod
    def maker(cls, potential: Potential) -> Callable[[list[Body], Leg, Clockwork], Mover]:
        """Return the function that makes the engine of a segment.

        Args:
            potential: provides the calculator, which is made once for all segments.
        """
        calculator = potential.calculator()
        return lambda bodies, leg, clock: cls(calculator, bodies, leg, clock)

    def step(self, bodies: Sequence[Body], temperature: float) -> None:
        body, atoms = self.body, self._atoms
        if self._thermal:
            self._dynamics.set_temperature(temperature)
        try:
            self._dynamics.step()
        except _Broken as broken:
            self._lost.append((body, *broken.why))
            return
        body.positions, body.momenta = atoms.positions.copy(), atoms.get_momenta()
        body.cell = np.array(atoms.cell.array)
        body.piston = float(self._dynamics.p_eps) if self._piston else 0.0
        body.energy, body.stress = self._guard.energy, self._guard.pull

    def lost(self) -> list[Lost]:
        found, self._lost = self._lost, []
        return found


class _Broken(Exception):
    """Signals that the body is lost in the middle of a step; holds (kind, reason)."""

    def __init__(self, why: tuple[str, str]) -> None:
        self.why = why


class _Guarded(Calculator):
    """A calculator that refuses atoms that flew apart and ends the run when it gives NaN.

    The neighbour list of atoms far away, or on top of each other, could fill the memory.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, inner: Calculator, body: Body, stress: bool) -> None:
        super().__init__()
        self.inner, self.body, self.stress = inner, body, stress
        self.energy, self.pull = body.energy, float("nan")
        self._twin = body.atoms()
        if hasattr(inner, "reset"):
            inner.reset()  # results are kept where only charge or spin differ
        self._twin.calc = inner

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Report moved atoms and a changed cell; nothing else changes during a run."""
        seen = self.atoms
        same = seen is not None and (
            np.array_equal(seen.positions, atoms.positions)
            and np.array_equal(seen.cell.array, atoms.cell.array)
        )
        return [] if same else [*all_changes]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        body, twin = self.body, self._twin
        far = moved_too_far(body.positions, self.atoms.positions)
        if far is not None:
            raise _Broken(("runaway", far))
        twin.positions[:] = self.atoms.positions
        twin.cell[:] = self.atoms.cell
        try:
            # The most expensive property first: many calculators compute the others along with it.
            stress = twin.get_stress(voigt=False) if self.stress else None
            forces = np.array(twin.get_forces(), dtype=float)
            energy = float(twin.get_potential_energy())
        except PropertyNotImplementedError as error:
            raise PestleError(
                f"the calculator does not give what the run needs ({error})",
                where=body.frame.where,
                fix="Without a stress, run at constant volume (ensemble nvt).",
            ) from error
        except Exception as error:  # whatever the calculator raises
            raise PestleError(
                f"the calculator failed ({type(error).__name__}: {error})", where=body.frame.where
            ) from error
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise _Broken(NOT_FINITE)
        if stress is not None and not np.isfinite(stress).all():
            raise _Broken(STRESS_NOT_FINITE)
        self.energy = energy
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if stress is not None:
            self.pull = mean_stress(stress)
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
