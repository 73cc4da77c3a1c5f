"""Which unit can these energies be in? Evidence from energies alone.

All-electron totals of free atoms and of light elements are known to a per cent and differ between
units by factors of 2 to 100; the atomisation energy per atom of any bound matter lies within one
decade, which tells eV from Ha, kcal/mol and kJ/mol whatever the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from pestle.structures.checks.unit_tables import ENERGY_UNITS
from pestle.structures.frame import Frame

# Non-relativistic total energies of free atoms in Ha (Hartree–Fock plus correlation; any
# all-electron method agrees to 0.5 %, which is all that is asked of them here). Z = 1 … 36.
_ATOM_TOTALS = (
    *(0.5, 2.9037, 7.4781, 14.6674, 24.6539, 37.845, 54.5892, 75.0673, 99.7339, 128.938),
    *(162.255, 200.053, 242.346, 289.359, 341.259, 398.11, 460.148, 527.54, 599.9, 677.5),
    *(760.6, 849.3, 943.8, 1044.3, 1150.9, 1263.6, 1382.6, 1508.1, 1640.4, 1779.3),
    *(1924.7, 2076.8, 2235.8, 2401.5, 2574.1, 2753.7),
)
ALL_ELECTRON_EV = {z: -27.211386 * e for z, e in enumerate(_ATOM_TOTALS, start=1)}

# A free atom is all-electron in some unit if it matches the table this closely (H varies most).
_ATOM_TOLERANCE = 0.03
# Total energies match sums of the table this closely, once a typical binding energy is added. Only
# where the core dominates (this many eV per atom); pseudopotential totals then cannot look alike.
_TOTAL_TOLERANCE, _BINDING_PER_ATOM, _MIN_TOTAL_PER_ATOM = 0.01, -4.5, 100.0
# Atomisation energies of matter in eV per atom: from alkali metals and weakly bound molecules to
# carbon and refractory oxides. Ranges of different units do not touch for −1.2 … −8.5.
BINDING_RANGE = (-9.0, -0.7)


@dataclass(frozen=True)
class EnergyEvidence:
    """Units that the energies can be in (none: nothing is known), why, and how far that holds."""

    units: frozenset[str]
    why: str
    certain: bool


def atom_energies(frames: Sequence[Frame]) -> dict[int, float]:
    """Energies of the isolated atoms by atomic number, as labelled."""
    return {
        int(f.numbers[0]): f.energy for f in frames if f.is_isolated_atom and f.energy is not None
    }


def energy_evidence(frames: Sequence[Frame]) -> EnergyEvidence:
    """What the energies themselves say about their unit."""
    atoms = atom_energies(frames)
    ratios = {z: e / ALL_ELECTRON_EV[z] for z, e in atoms.items() if z in ALL_ELECTRON_EV}
    for unit, scale in ENERGY_UNITS.items():
        if ratios and all(abs(r / scale - 1) < _ATOM_TOLERANCE for r in ratios.values()):
            z = min(ratios)
            why = (
                f"the isolated atom {chemical_symbols[z]} has {atoms[z]:.6g}, all-electron theory "
                f"gives {ALL_ELECTRON_EV[z] * scale:.6g} {unit} ({ALL_ELECTRON_EV[z]:.6g} eV)"
            )
            return EnergyEvidence(frozenset({unit}), why, True)
    body = [f for f in frames if len(f) > 1 and f.energy is not None]
    total = _all_electron_ratio(body)
    for unit, scale in ENERGY_UNITS.items():
        if total is not None and abs(total / scale - 1) < _TOTAL_TOLERANCE:
            why = (
                f"the total energies are {total:.4g} times all-electron energies in eV, and "
                f"1 eV = {scale:.4g} {unit}"
            )
            return EnergyEvidence(frozenset({unit}), why, True)
    binding = binding_per_atom(body, atoms)
    if binding is None:
        return EnergyEvidence(frozenset(), "", False)
    why = f"the median atomisation energy is {binding:.4g} per atom"
    fitting = {
        unit
        for unit, scale in ENERGY_UNITS.items()
        if BINDING_RANGE[0] <= binding / scale <= BINDING_RANGE[1]
    }
    if "eV" in fitting:
        return EnergyEvidence(frozenset({"eV"}), why, False)
    # Ry is half of Ha: never told apart by this, and rarely written.
    fitting.discard("Ry")
    # No matter is bound by 20 eV/atom, but energies from wrong isolated atoms can be small.
    return EnergyEvidence(frozenset(fitting), why, certain=not fitting & {"Ha"})


def _all_electron_ratio(frames: Sequence[Frame]) -> float | None:
    """Median of label over all-electron estimate in eV, where that is sharp and meaningful."""
    ratios = []
    for frame in frames:
        numbers = frame.numbers.tolist()
        if max(numbers) > len(_ATOM_TOTALS):
            continue
        estimate = sum(ALL_ELECTRON_EV[z] + _BINDING_PER_ATOM for z in numbers)
        if estimate < -_MIN_TOTAL_PER_ATOM * len(numbers) and frame.energy is not None:
            ratios.append(frame.energy / estimate)
    if not ratios:
        return None
    median = float(np.median(ratios))
    spread = np.percentile(np.abs(np.array(ratios) - median), 90)
    return median if spread < _TOTAL_TOLERANCE * abs(median) else None


def binding_per_atom(frames: Sequence[Frame], atoms: Mapping[int, float]) -> float | None:
    """Median of (E − ΣE_atom)/n over frames whose elements all have an isolated atom."""
    values = [
        (f.energy - sum(atoms[int(z)] for z in f.numbers)) / len(f)
        for f in frames
        if f.energy is not None and {int(z) for z in f.numbers} <= set(atoms)
    ]
    return float(np.median(values)) if values else None
