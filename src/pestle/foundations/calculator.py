"""Provide an ASE calculator for any `Foundation`."""

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
#: Attributes of `Atoms` that a model reads.
READ = ("positions", "numbers", "cell", "pbc")


def info_of(atoms: Atoms, keys: tuple[str, ...]) -> float | None:
    """Return the number under the first of these keys that `atoms.info` has, or `None`."""
    for key in keys:
        if key in atoms.info:
            return float(atoms.info[key])
    return None


class FoundationCalculator(Calculator):
    """This ASE calculator gives the energy, forces and stress of one head of a model.

    Total energies are float64. There is a stress only for atoms that are periodic in all three
    directions. Total charge (in e) and spin multiplicity are read from `atoms.info` (`total_charge`
    or `charge`, `total_spin` or `spin`).

    Args:
        foundation: the model; it is used itself, not a copy.
        head: name of the head, as for `Foundation.head_index`.
        dispersion: functional whose D3 correction is added to energy, forces and stress, or
            `removed` (see `Foundation.calculator`). With a correction there are no energies of
            single atoms (`energies`).
        kwargs: arguments of ASE's `Calculator`.

    Raises:
        PestleError: the head or functional is unknown, or the model already contains dispersion.
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

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """List what the model reads and what has changed since the last prediction.

        Only what the model reads is compared, and exactly. ASE's own check, which allows for `tol`,
        takes longer.

        Args:
            atoms: the atoms as they are now.
            tol: not used.
        """
        seen = self.atoms
        if seen is None:
            return [*all_changes, "info"]
        changes = [
            name for name in READ if not np.array_equal(getattr(seen, name), getattr(atoms, name))
        ]
        if (info_of(atoms, CHARGE_KEYS), info_of(atoms, SPIN_KEYS)) != self._charge_and_spin:
            changes.append("info")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Predict all properties and store them in `results`; ASE calls this method.

        Args:
            atoms: the structure.
            properties: not used; all properties are predicted at once.
            system_changes: not used; the prediction always starts anew.
        """
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
        """Add a dispersion correction to the results."""
        energy, forces, stress = correction.terms(self.atoms)
        for name, more in (("energy", energy), ("free_energy", energy), ("forces", forces)):
            self.results[name] = self.results[name] + more
        if stress is not None and "stress" in self.results:
            self.results["stress"] = self.results["stress"] + full_3x3_to_voigt_6_stress(stress)
        del self.results["energies"]
