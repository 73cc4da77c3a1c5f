"""Units of labels, their prior probability before the data are examined, and conversion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pestle.structures.frame import Frame

_HARTREE, _BOHR, _KCAL, _KJ = 27.211386245988, 0.529177210903, 0.04336410390, 0.01036426965
_GPA = 1 / 160.2176634


@dataclass(frozen=True)
class Unit:
    """A way in which a label may be written.

    Attributes:
        name: as people write it.
        factor: turns the label into eV, eV/Å or eV/Å³; negative for the opposite sign.
        shape: `total` (as Pestle has it), `per atom` (an energy divided by the number of atoms) or
            `virial` (a stress multiplied by the volume of the cell).
    """

    name: str
    factor: float = 1.0
    shape: str = "total"

    @property
    def is_ours(self) -> bool:
        """Whether the label has Pestle's unit, sign and shape."""
        return self.factor == 1.0 and self.shape == "total"


ENERGY_UNITS = {
    "eV": 1.0,
    "Ha": _HARTREE,
    "kcal/mol": _KCAL,
    "kJ/mol": _KJ,
    "Ry": _HARTREE / 2,
}
FORCE_UNITS = {
    "eV/Å": 1.0,
    "Ha/Bohr": _HARTREE / _BOHR,
    "kcal/mol/Å": _KCAL,
    "kJ/mol/Å": _KJ,
    "kJ/mol/nm": _KJ / 10,
    "Ry/Bohr": _HARTREE / _BOHR / 2,
    "Ha/Å": _HARTREE,
}
STRESS_UNITS = {
    "eV/Å³": 1.0,
    "GPa": _GPA,
    "kbar": _GPA / 10,
    "Ha/Bohr³": _HARTREE / _BOHR**3,
}
ENERGIES = tuple(
    Unit(name, factor, shape)
    for shape in ("total", "per atom")
    for name, factor in ENERGY_UNITS.items()
)
FORCES = tuple(
    Unit(name, sign * factor) for sign in (1.0, -1.0) for name, factor in FORCE_UNITS.items()
)
STRESSES = (
    *(Unit(name, sign * factor) for sign in (1.0, -1.0) for name, factor in STRESS_UNITS.items()),
    # Virials are −V·σ in most programs, and +V·σ in a few.
    Unit("the virial in eV", -1.0, "virial"),
    Unit("the virial in eV", 1.0, "virial"),
)

# Force units that programs write beside an energy unit, and how rare the pair is (nats).
_PAIRS = {
    ("eV", "eV/Å"): 0.0,
    ("Ha", "Ha/Bohr"): 2.5,
    ("kcal/mol", "kcal/mol/Å"): 3.5,
    ("kJ/mol", "kJ/mol/Å"): 4.0,
    ("kJ/mol", "kJ/mol/nm"): 4.5,
    ("Ry", "Ry/Bohr"): 4.5,
    ("Ha", "eV/Å"): 4.0,
    ("kcal/mol", "eV/Å"): 4.5,
    ("Ry", "eV/Å"): 5.0,
    ("kJ/mol", "eV/Å"): 5.0,
    ("eV", "Ha/Bohr"): 4.5,
    ("Ha", "Ha/Å"): 6.0,
    ("eV", "Ry/Bohr"): 5.5,
}
_RARE_PAIR, _OTHER_SIGN, _PER_ATOM, _VIRIAL = 7.0, 3.0, 3.5, 6.5
_STRESS_SURPRISE = {"eV/Å³": 0.0, "GPa": 3.0, "kbar": 3.0, "Ha/Bohr³": 5.0}


def surprise_of_pair(energy: Unit, forces: Unit) -> float:
    """Return minus the log of the prior probability of a pair of units, in nats."""
    pair = _PAIRS.get((energy.name, forces.name), _RARE_PAIR)
    sign = _OTHER_SIGN if forces.factor < 0 else 0.0
    return pair + sign + (_PER_ATOM if energy.shape == "per atom" else 0.0)


def surprise_of_stress(unit: Unit) -> float:
    """Return minus the log of the prior probability of a unit of stress, in nats."""
    if unit.shape == "virial":
        return _VIRIAL + (2.0 if unit.factor > 0 else 0.0)
    sign = unit.factor < 0
    # VASP prints kbar in its own sign: with kbar either sign is as likely.
    return _STRESS_SURPRISE[unit.name] + (0.0 if unit.name == "kbar" else 1.5) * sign


@dataclass(frozen=True)
class Units:
    """Units that the labels are in, as far as the evidence says so; Pestle's own otherwise."""

    energy: Unit = ENERGIES[0]
    forces: Unit = FORCES[0]
    stress: Unit = STRESSES[0]

    def in_eV(self, frame: Frame) -> Frame:
        """Return the frame with labels converted to eV and Å, so that thresholds in these units
        apply.
        """
        energy, forces, stress = frame.energy, frame.forces, frame.stress
        if energy is not None and not self.energy.is_ours:
            size = len(frame) if self.energy.shape == "per atom" else 1
            energy = energy * self.energy.factor * size
        if forces is not None and not self.forces.is_ours:
            forces = np.asarray(forces) * self.forces.factor
        if stress is not None and not self.stress.is_ours:
            volume = frame.atoms.get_volume() if self.stress.shape == "virial" else 1.0
            stress = np.asarray(stress) * (self.stress.factor / volume)
        return replace(frame, energy=energy, forces=forces, stress=stress)
