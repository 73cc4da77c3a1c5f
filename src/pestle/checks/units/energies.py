"""Evidence on the unit of energies, from the totals of known atoms and from binding energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from pestle.checks.unit_tables import ENERGIES
from pestle.checks.units.evidence import ENERGY, Evidence, Measured
from pestle.structures.frame import Frame
from pestle.wording import number

_HARTREE = 27.211386
# Non-relativistic total energies of free atoms in Ha (Hartree–Fock plus correlation; any
# all-electron method agrees to 0.5 %, which is all that is asked of them here). Z = 1 … 36.
_ATOM_TOTALS = (
    *(0.5, 2.9037, 7.4781, 14.6674, 24.6539, 37.845, 54.5892, 75.0673, 99.7339, 128.938),
    *(162.255, 200.053, 242.346, 289.359, 341.259, 398.11, 460.148, 527.54, 599.9, 677.5),
    *(760.6, 849.3, 943.8, 1044.3, 1150.9, 1263.6, 1382.6, 1508.1, 1640.4, 1779.3),
    *(1924.7, 2076.8, 2235.8, 2401.5, 2574.1, 2753.7),
)
ALL_ELECTRON_EV = {z: -_HARTREE * e for z, e in enumerate(_ATOM_TOTALS, start=1)}
# Sums of the ionisation energies of the valence electrons in eV (NIST): what a norm-conserving
# pseudopotential that keeps these electrons gives for the atom, to 2 %. Li and Na with their
# semicore.
_VALENCE = (
    *((1, -13.6), (3, -203.5), (5, -71.4), (6, -148.0), (7, -266.9), (8, -433.1), (9, -658.8)),
    *((11, -1306.0), (14, -103.1), (15, -176.8), (16, -276.6), (17, -408.9)),
)
VALENCE_EV = dict(_VALENCE)

# A free atom is all-electron in some unit if it matches the table this closely (H varies most).
_ATOM_TOLERANCE = 0.03
# Totals match sums of a table this closely, once a typical binding energy (eV/atom) is added:
# all-electron totals where the core dominates (eV/atom), valence totals everywhere.
_TOTAL_TOLERANCE, _VALENCE_TOLERANCE, _BINDING, _MIN_TOTAL = 0.01, 0.025, -4.5, 100.0
# Binding energies of matter per atom scatter by this (natural logarithm) around −3.5 eV: from
# alkali metals and molecules, −0.7, to carbon and refractory oxides, −9.
TYPICAL_BINDING, _BINDING_WIDTH = -3.5, 0.75
BINDING_RANGE = (-9.0, -0.7)
# No matter has a larger binding energy (eV/atom).
_IMPOSSIBLE_BINDING = -20.0


def atom_energies(frames: Sequence[Frame]) -> dict[int, float]:
    """Return the energies of the isolated atoms by atomic number, in the unit of the labels."""
    return {
        int(f.numbers[0]): f.energy for f in frames if f.is_isolated_atom and f.energy is not None
    }


def energy_evidence(frames: Sequence[Frame]) -> list[Evidence]:
    """Return evidence from the energies of atoms and frames on their own unit."""
    atoms = atom_energies(frames)
    body = [f for f in frames if len(f) > 1 and f.energy is not None]
    found = [_atoms(atoms), _totals(body), _binding(body, atoms)]
    return [item for item in found if item is not None]


def _atoms(atoms: Mapping[int, float]) -> Evidence | None:
    ratios = {z: ALL_ELECTRON_EV[z] / e for z, e in atoms.items() if z in ALL_ELECTRON_EV and e}
    if not ratios:
        return None
    for unit in ENERGIES:
        if all(abs(r / unit.factor - 1) < _ATOM_TOLERANCE for r in ratios.values()):
            z = min(ratios)
            measured = Measured(unit.factor, 0.02, 0.02)
            return Evidence(
                ENERGY,
                # One atom has the same energy per atom and in total.
                {"total": measured, "per atom": measured},
                f"the isolated atom {chemical_symbols[z]} has {number(atoms[z], 6)}, "
                "all-electron theory "
                f"gives {number(ALL_ELECTRON_EV[z] / unit.factor, 6)} {unit.name}",
                limit=10.0,
            )
    return None


def _totals(frames: Sequence[Frame]) -> Evidence | None:
    for table, tolerance, smallest, limit, name in (
        (ALL_ELECTRON_EV, _TOTAL_TOLERANCE, _MIN_TOTAL, 9.0, "all-electron atoms"),
        (VALENCE_EV, _VALENCE_TOLERANCE, 0.0, 6.0, "atoms without their cores"),
    ):
        usable, estimates = [], []
        for frame in frames:
            numbers = frame.numbers.tolist()
            if not set(numbers) <= set(table):
                continue
            estimate = sum(table[z] + _BINDING for z in numbers)
            if -estimate > smallest * len(numbers) and frame.energy:
                usable.append(frame)
                estimates.append(estimate)
        if not usable:
            continue
        measured = {}
        label = np.array([f.energy for f in usable], dtype=float)
        sizes = np.array([len(f) for f in usable])
        for shape, total in (("total", label), ("per atom", label * sizes)):
            ratio = np.array(estimates) / total
            median = float(np.median(ratio))
            if np.percentile(np.abs(ratio - median), 90) > tolerance * abs(median):
                continue
            if any(abs(median / u.factor - 1) < tolerance and u.shape == shape for u in ENERGIES):
                measured[shape] = Measured(median, tolerance, tolerance)
        if measured:
            shape = next(iter(measured))
            factor = measured[shape].factor
            per = " and per atom" if shape == "per atom" else ""
            return Evidence(
                ENERGY,
                measured,
                f"sums over {name} are {number(factor, 4)} times the energies{per}",
                limit=limit,
                missing=limit,
            )
    return None


def binding_per_atom(
    frames: Sequence[Frame], atoms: Mapping[int, float], *, per_atom: bool = False
) -> float | None:
    """Median of (E − ΣE_atom)/n over frames whose elements all have an isolated atom.

    Args:
        frames: frames with energies.
        atoms: energy of the isolated atom by atomic number.
        per_atom: the energies of the frames are divided by their numbers of atoms.
    """
    values = [
        (f.energy * (len(f) if per_atom else 1) - sum(atoms[int(z)] for z in f.numbers)) / len(f)
        for f in frames
        if f.energy is not None and {int(z) for z in f.numbers} <= set(atoms)
    ]
    return float(np.median(values)) if values else None


def _binding(frames: Sequence[Frame], atoms: Mapping[int, float]) -> Evidence | None:
    measured = {}
    for shape in ("total", "per atom"):
        value = binding_per_atom(frames, atoms, per_atom=shape == "per atom")
        if value is not None and value < 0:
            factor = TYPICAL_BINDING / value
            measured[shape] = Measured(factor, _BINDING_WIDTH, _BINDING_WIDTH)
    if not measured:
        return None
    value = TYPICAL_BINDING / next(iter(measured.values())).factor
    return Evidence(
        ENERGY,
        measured,
        f"the frames are bound by {number(-value, 4)} per atom in the median",
        limit=8.0 if value < _IMPOSSIBLE_BINDING else 5.0,
    )
