"""Some frames of a set in another unit than the rest, as after joining files of two programs.

Total energies of other frames of the same elements differ by a few per cent at most, units by a
factor of 13 or more. Which frames are in another unit can be seen from the ratio alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.checks.robust import mad
from pestle.checks.unit_tables import ENERGY_UNITS, FORCE_UNITS
from pestle.structures.frame import Frame, composition_matrix, elements_of
from pestle.wording import counted, number

# At least this many frames must be in one unit, and more than are in another.
MIN_USUAL = 4
# The ratio of energies agrees with the ratio of units within this share. Where energies of usual
# frames scatter by more than a quarter of it, their ratios say nothing.
CLOSE = 0.08
# The same for the largest forces, which differ from frame to frame by their nature.
FORCES_WITHIN = 2.0
#: Force units that programs write beside an energy unit.
_BESIDE = {
    "eV": ("eV/Å",),
    "Ha": ("Ha/Bohr", "Ha/Å"),
    "Ry": ("Ry/Bohr",),
    "kcal/mol": ("kcal/mol/Å",),
    "kJ/mol": ("kJ/mol/Å", "kJ/mol/nm"),
}
_STEPS = 60


def mixed_unit_findings(frames: Sequence[Frame]) -> tuple[list[CheckFinding], list[Frame]]:
    """Find frames whose energies are those of the others times the ratio of two units.

    Args:
        frames: sound frames, with labels as in the files.

    Returns:
        An error for each unit, and the frames that are not in another unit.
    """
    labelled = [f for f in frames if len(f) > 1 and f.energy is not None]
    odd = _odd_frames(labelled)
    if not odd:
        return [], list(frames)
    concerned = {id(f) for found in odd.values() for f in found}
    usual = [f for f in labelled if id(f) not in concerned]
    findings = [_error(pair, found, usual, len(labelled)) for pair, found in odd.items()]
    return findings, [f for f in frames if id(f) not in concerned]


def _odd_frames(frames: Sequence[Frame]) -> dict[tuple[str, str], list[Frame]]:
    """Return (unit of these frames, unit of the others) → frames."""
    if len(frames) < MIN_USUAL + 1:
        return {}
    ratio = _against_the_others(frames)
    usual = np.abs(ratio - 1) < CLOSE
    n_usual = int(usual.sum())
    if 2 * n_usual <= len(frames) or n_usual < MIN_USUAL or 4 * mad(ratio[usual]) > CLOSE:
        return {}
    found: dict[tuple[str, str], list[Frame]] = {}
    for k in np.flatnonzero(~usual):
        for pair, factor in _PAIRS.items():
            if abs(ratio[k] / factor - 1) < CLOSE:
                found.setdefault(pair, []).append(frames[int(k)])
                break
    return found


#: (unit of a frame, unit of the others) → ratio of their numbers. One of the two is eV.
_PAIRS = {(unit, "eV"): 1 / factor for unit, factor in ENERGY_UNITS.items() if unit != "eV"} | {
    ("eV", unit): factor for unit, factor in ENERGY_UNITS.items() if unit != "eV"
}


def _against_the_others(frames: Sequence[Frame]) -> np.ndarray:
    """Return the energy of each frame over that of most frames of such a composition [n].

    A sum over elements is fitted to the energies per atom with least absolute deviations, which
    frames in another unit do not move as long as they are few.
    """
    counts = composition_matrix(frames, elements_of(frames))
    n_atoms = counts.sum(axis=1)
    share = counts / n_atoms[:, None]
    energy = np.array([f.energy for f in frames], dtype=float) / n_atoms
    weight = np.ones(len(frames))
    fitted = energy
    least = 1e-4 * max(float(np.median(np.abs(energy))), 1e-12)
    for _ in range(_STEPS):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(share * root[:, None], energy * root, rcond=1e-10)[0]
        fitted = share @ solution
        weight = 1 / np.maximum(np.abs(energy - fitted), least)
    return energy / np.where(np.abs(fitted) > least, fitted, np.inf)


def _error(
    pair: tuple[str, str], odd: Sequence[Frame], usual: Sequence[Frame], n_frames: int
) -> CheckFinding:
    unit, other = pair
    forces = _forces_of(odd, usual, unit, other)
    also = f", and their forces fit {forces}" if forces else ""
    ratio = _PAIRS[pair]
    times = number(ratio, 4) if ratio > 1 else f"1/{number(1 / ratio, 4)}"
    factor = number(1 / ratio if other == "eV" else ratio, 7)
    rule = (
        f"Multiply the energies of these frames by {factor}"
        if other == "eV"
        else f"Multiply the energies of all frames but these by {factor}"
    )
    return finding(
        "error",
        "mixed-units",
        f"{count_of(odd, n_frames)} {'looks' if len(odd) == 1 else 'look'} like {unit} where the "
        f"others are in {other}: the energies are {times} times those of the other "
        f"{counted(len(usual), 'frame')}{also}",
        odd,
        fix=f"{rule}{', and convert the forces' if forces else ''}, or leave them out.",
    )


def _forces_of(odd: Sequence[Frame], usual: Sequence[Frame], unit: str, other: str) -> str:
    """Return the unit of forces that fits, with the ratio found; empty if none does."""
    sizes = [
        [float(np.sqrt(np.mean(np.square(f.forces)))) for f in part if f.forces is not None]
        for part in (odd, usual)
    ]
    if not all(sizes) or not float(np.median(sizes[1])):
        return ""
    ratio = float(np.median(sizes[0]) / np.median(sizes[1]))
    for name in _BESIDE[unit]:
        for beside in _BESIDE[other]:
            expected = FORCE_UNITS[beside] / FORCE_UNITS[name]
            if ratio > 0 and max(ratio / expected, expected / ratio) < FORCES_WITHIN:
                return f"{name} (about {number(ratio, 2)} times)"
    return ""
