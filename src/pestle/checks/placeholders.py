"""False labels: zeros for values that were never calculated, and one number for many structures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.structures.copies import fingerprint
from pestle.structures.frame import Frame
from pestle.structures.neighbours import neighbours
from pestle.structures.pairs import bonded_pairs
from pestle.wording import number

# Energies of one value, to the last digit. Rounded energies can meet by chance in pairs; not in
# this many frames, nor in this share of all.
MIN_ALIKE, ALIKE_SHARE = 3, 0.05
# Å by which one of the shortest distances differs where two structures cannot have one energy:
# more than displacements for phonons, whose energies can agree in all digits that a file has.
DIFFERENT = 0.05
# Å up to which neighbours are summed; length of that sum over the sum of lengths up to which an
# atom counts as held in place by symmetry (positions have 3 decimals or more).
SYMMETRY_CUTOFF, SYMMETRY_TOLERANCE = 6.0, 1e-3

_REMOVE = "leave the key out of frames where nothing was calculated"


def placeholder_findings(splits: Mapping[str, Sequence[Frame]]) -> list[CheckFinding]:
    """Energies, forces and stresses that were never calculated.

    A label with a weight of zero is not used, and may be anything.

    Args:
        splits: sound frames by split, isolated atoms among them.
    """
    frames = [f for split in splits.values() for f in split if not f.is_isolated_atom]
    with_energy = [f for f in frames if f.energy is not None and f.weight * f.energy_weight > 0]
    zero = [f for f in with_energy if f.energy == 0.0]
    if len(zero) < max(2, ALIKE_SHARE * len(with_energy)):
        return [*_alike(with_energy), *_forces(frames), *_stress(frames)]
    energies = finding(
        "error",
        "zero-energies",
        f"{count_of(zero, len(with_energy))} have an energy of exactly zero: placeholders, or "
        "energies relative to some structure, which cannot be learned over several compositions",
        zero,
        fix=f"Give total energies, and {_REMOVE}.",
    )
    return [energies, *_forces(frames), *_stress(frames)]


def _alike(frames: Sequence[Frame]) -> list[CheckFinding]:
    """One energy to the last digit for structures of other atoms, or for clearly other structures
    of the same atoms."""
    by_energy: dict[float, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_energy[float(frame.energy or 0.0)].append(frame)
    findings = []
    for energy, group in by_energy.items():
        everything = len(group) == len(frames) >= 2
        many = len(group) >= max(MIN_ALIKE, ALIKE_SHARE * len(frames))
        compositions = {tuple(sorted(f.numbers.tolist())) for f in group}
        if len(compositions) > 1 and (everything or many):
            what = f"frames of {len(compositions)} compositions"
        elif everything and many and _differ(group):
            what = "frames, which show different structures"
        else:
            continue
        findings.append(
            finding(
                "error",
                "alike-energies",
                f"the energy is {number(energy, 10)} to the last digit in {len(group)} of "
                f"{len(frames)} "
                f"{what}: a constant, not a label",
                group,
                fix=f"Give the energy of each structure, and {_REMOVE}.",
            )
        )
    return findings


def _differ(frames: Sequence[Frame]) -> bool:
    """Whether structures of the same atoms differ by more than their energies can be rounded."""
    prints = [fingerprint(bonded_pairs(frame), len(frame)) for frame in frames]
    return bool(np.ptp(prints, axis=0).max() > DIFFERENT)


def _forces(frames: Sequence[Frame]) -> list[CheckFinding]:
    labelled = [
        f for f in frames if f.forces is not None and len(f) > 1 and f.weight * f.forces_weight > 0
    ]
    zero = [f for f in labelled if f.forces is not None and not f.forces.any()]
    zero = [f for f in zero if not held_by_symmetry(f)]
    if not zero:
        return []
    return [
        finding(
            _severity(zero),
            "zero-forces",
            f"{count_of(zero, len(labelled))} have forces that are all exactly zero, although no "
            "symmetry of the structure makes them so: placeholders",
            zero,
            fix=f"Give the forces, or {_REMOVE}.",
        )
    ]


def _stress(frames: Sequence[Frame]) -> list[CheckFinding]:
    labelled = [
        f for f in frames if f.stress is not None and len(f) > 1 and f.weight * f.stress_weight > 0
    ]
    zero = [f for f in labelled if f.stress is not None and not f.stress.any()]
    if not zero:
        return []
    return [
        finding(
            _severity(zero),
            "zero-stress",
            f"{count_of(zero, len(labelled))} have a stress that is exactly zero: placeholders",
            zero,
            fix=f"Give the stress, or {_REMOVE}.",
        )
    ]


def _severity(frames: Sequence[Frame]) -> str:
    """One frame can be rounded to zero at a minimum; several are none."""
    return "error" if len(frames) > 1 else "warning"


def held_by_symmetry(frame: Frame) -> bool:
    """Whether the directions to the neighbours of each element cancel for every atom.

    The forces must then be zero.
    """
    atoms = frame.atoms
    if len(atoms) > 1 and not atoms.pbc.any():
        return False  # the outermost atom has neighbours on one side only
    positions, cell = atoms.positions, atoms.cell.array
    pairs = neighbours(positions, cell, atoms.pbc, SYMMETRY_CUTOFF)
    sender, receiver = pairs.edge_index
    vectors = positions[receiver] - positions[sender] + pairs.shifts @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    fade = (1 - (lengths / SYMMETRY_CUTOFF) ** 2) ** 2  # no jump where a neighbour leaves
    for z in np.unique(frame.numbers):
        of_element = frame.numbers[receiver] == z
        for power in (-2, -1, 0):
            weight = fade * lengths ** (power - 1) * of_element
            total = np.zeros((len(frame), 3))
            np.add.at(total, sender, vectors * weight[:, None])
            scale = np.zeros(len(frame))
            np.add.at(scale, sender, lengths * weight)
            if (np.linalg.norm(total, axis=1) > SYMMETRY_TOLERANCE * scale).any():
                return False
    return True
