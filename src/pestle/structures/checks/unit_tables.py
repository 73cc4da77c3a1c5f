"""Units that labels come in, as how many of them make one eV, eV/Å or eV/Å³."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pestle.structures.frame import Frame

ENERGY_UNITS = {
    "eV": 1.0,
    "Ha": 1 / 27.211386,
    "kcal/mol": 23.060548,
    "kJ/mol": 96.485332,
    "Ry": 1 / 13.605693,
}
FORCE_UNITS = {
    "eV/Å": 1.0,
    "Ha/Bohr": 1 / 51.422067,
    "kcal/mol/Å": 23.060548,
    "kJ/mol/Å": 96.485332,
    "Ry/Bohr": 1 / 25.711034,
    "Ha/Å": 1 / 27.211386,
}
STRESS_UNITS = {"eV/Å³": 1.0, "GPa": 160.21766, "kbar": 1602.1766, "Ha/Bohr³": 0.0033989}

#: Energy unit → the force unit that programs write beside it.
PARTNER = {
    "eV": "eV/Å",
    "Ha": "Ha/Bohr",
    "kcal/mol": "kcal/mol/Å",
    "kJ/mol": "kJ/mol/Å",
    "Ry": "Ry/Bohr",
}


@dataclass(frozen=True)
class Units:
    """Units that the labels are in ('' where the data do not say) and their signs."""

    energy: str = ""
    forces: str = ""
    stress: str = ""
    force_sign: float = 1.0
    stress_sign: float = 1.0

    def in_eV(self, frame: Frame) -> Frame:
        """The frame with its labels converted, so that thresholds in eV and Å apply."""
        energy = 1 / ENERGY_UNITS.get(self.energy, 1.0)
        forces = self.force_sign / FORCE_UNITS.get(self.forces, 1.0)
        stress = self.stress_sign / STRESS_UNITS.get(self.stress, 1.0)
        return replace(
            frame,
            energy=None if frame.energy is None else frame.energy * energy,
            forces=None if frame.forces is None else np.asarray(frame.forces) * forces,
            stress=None if frame.stress is None else np.asarray(frame.stress) * stress,
        )
