"""ASE calculator over any `Foundation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from pestle.foundations.dispersion import correction_for
from pestle.structures.graphs import unlabelled
from pestle.structures.neighbour_lists import NeighbourLists

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation
    from pestle.structures.dispersion import D3

#: Keys of `atoms.info` that hold total charge and spin multiplicity.
CHARGE_KEYS = ("total_charge", "charge")
SPIN_KEYS = ("total_spin", "spin")
#: What else a model reads of atoms.
READ = ("positions", "numbers", "cell", "pbc")


def info_of(atoms: Atoms, keys: tuple[str, ...]) -> float | None:
    """The number that `atoms.info` holds under one of these keys."""
    for key in keys:
        if key in atoms.info:
            return float(atoms.info[key])
    return None


def _of(atoms: Atoms, name: str) -> np.ndarray:
    """One of READ."""
    return np.asarray(getattr(atoms, name))


class FoundationCalculator(Calculator):
    """Energies (float64 totals), forces and, where it is defined, stress of one head.

    Total charge and spin multiplicity are read from `atoms.info` (`total_charge` or `charge`,
    `total_spin` or `spin`).

    Args:
        foundation: the model; not copied.
        head: name of the head, needed where there are several.
        dispersion: functional whose D3 correction is added to energy, forces and stress, or
            `removed`; there are no shares of atoms (`energies`) then.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        foundation: Foundation,
        *,
        head: str | None = None,
        dispersion: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.correction = None if dispersion is None else correction_for(foundation, dispersion)
        self.foundation = foundation
        self._row = foundation.head_index(head)
        e0s = foundation.reference_energies[foundation.heads[self._row]]
        self._e0s = np.full(len(chemical_symbols), np.nan)
        self._e0s[list(e0s)] = list(e0s.values())
        self._neighbours = NeighbourLists(foundation.cutoff)
        self._charge_and_spin: tuple[float | None, float | None] = (None, None)

    def e0s_of(self, atoms: Atoms) -> np.ndarray:
        """E0s of the atoms, [n_atoms] eV."""
        return np.asarray(self._e0s[atoms.numbers])

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What the model reads and is no longer as it was at the last prediction.

        Only this is compared, and exactly: ASE's own check, which allows for `tol`, takes longer.
        """
        seen = self.atoms
        if seen is None:
            return [*all_changes, "info"]
        changes = [name for name in READ if not np.array_equal(_of(seen, name), _of(atoms, name))]
        if (info_of(atoms, CHARGE_KEYS), info_of(atoms, SPIN_KEYS)) != self._charge_and_spin:
            changes.append("info")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        charge, spin = info_of(self.atoms, CHARGE_KEYS), info_of(self.atoms, SPIN_KEYS)
        self._charge_and_spin = (charge, spin)
        numbers, pbc = self.atoms.numbers, self.atoms.pbc
        system = (
            self.atoms.positions,
            self.atoms.cell.array[None],
            pbc[None],
            np.array([len(numbers)]),
        )
        model = self.foundation
        graph = unlabelled(
            numbers,
            *system,
            self._neighbours.pairs(*system),
            charge=[0.0 if charge is None else charge],
            spin=[1.0 if spin is None else spin],
            dtype=model.dtype,
        ).with_head(self._row)
        prediction = model.predict(graph.to(model.device), stress=bool(pbc.all()))
        energy = float(prediction.energy[0])
        shares = prediction.node_energies.double().cpu().numpy()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": shares + self._e0s[numbers],
            "forces": prediction.forces.double().cpu().numpy(),
        }
        if prediction.stress is not None:
            stress = prediction.stress[0].double().cpu().numpy()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
        if self.correction is not None:
            self._add(self.correction)

    def _add(self, correction: D3) -> None:
        """Add a correction to the results."""
        energy, forces, stress = correction.terms(self.atoms)
        for name, more in (("energy", energy), ("free_energy", energy), ("forces", forces)):
            self.results[name] = self.results[name] + more
        if stress is not None and "stress" in self.results:
            self.results["stress"] = self.results["stress"] + full_3x3_to_voigt_6_stress(stress)
        del self.results["energies"]
