"""Trajectories with energies in hartree in the comment line, from CP2K, ORCA and xtb.

CP2K writes positions, forces and cells of a run to separate files: PROJECT-pos-1.xyz,
PROJECT-frc-1.xyz and PROJECT-1.cell. They are combined by the number of the step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.text import read_text
from pestle.structures.readers.xyz import read_xyz

_FLOAT = r"([-+]?\d+\.\d+(?:[eEdD][-+]?\d+)?)"
#: Program → its comment line; the last group is the energy in hartree.
_COMMENTS = {
    "CP2K": re.compile(rf"^\s*i\s*=\s*(\d+),(?:\s*time\s*=\s*\S+,)?\s*E\s*=\s*{_FLOAT}"),
    "ORCA": re.compile(rf"^\s*Coordinates from ORCA-job .*\bE\s+{_FLOAT}"),
    "xtb": re.compile(rf"^\s*energy:\s*{_FLOAT}\s+gnorm:"),
}
#: Number of a step, and number of its earlier occurrences.
_Step = tuple[int | None, int]
_ROLE = re.compile(r"^(?P<project>.+)-(?P<role>pos|frc|vel)-(?P<image>\d+)$")


def program_of(text: str) -> str | None:
    """Return the program that wrote a plain XYZ file, from the comment of its first frame.

    Args:
        text: content of the file.

    Returns:
        Name of the program; `None` if it is unknown.
    """
    comment = text.split("\n", 2)[1] if text.count("\n") > 1 else ""
    return next((name for name, form in _COMMENTS.items() if form.match(comment)), None)


def read_trajectory(path: Path, text: str, program: str, notes: Notes) -> Iterator[Atoms]:
    """Read the frames of a trajectory with energies in eV, and CP2K's forces and cells.

    Args:
        path: the trajectory.
        text: its content.
        program: result of `program_of`.
        notes: records what was converted or is missing; changed in place.

    Raises:
        PestleError: the file contains forces or velocities, or the files of a run contradict each
            other.
    """
    role = _ROLE.match(path.stem)
    if role and role["role"] in ("frc", "vel"):
        what = "forces" if role["role"] == "frc" else "velocities"
        positions = f"{role['project']}-pos-{role['image']}.xyz"
        raise PestleError(
            f"holds {what} of CP2K, not positions",
            where=str(path),
            fix=f"Give {positions}; the forces beside it are read with it.",
        )
    comments = _comments(text, program)
    steps = _numbered([step for step, _ in comments])
    forces = _forces(path, role) if program == "CP2K" else {}
    cells = _cells(path, role) if program == "CP2K" else {}
    for index, atoms in enumerate(read_xyz(path, text, Notes())):
        step, energy = steps[index], comments[index][1]
        atoms.info.clear()
        results: dict[str, object] = {}
        if energy is not None:
            results["energy"] = energy * Hartree
            notes.take_as(f"energies of {program} were converted from hartree to eV", path)
        else:
            notes.leave_out(f"frames have no energy as {program} writes it", path)
        if step in forces:
            symbols, values = forces[step]
            if symbols != atoms.get_chemical_symbols():
                raise PestleError(
                    f"step {step[0]} has other atoms than the forces beside it",
                    where=f"{path} frame {index}",
                )
            results["forces"] = values
        if step in cells:
            atoms.set_cell(cells[step])
            atoms.set_pbc(True)
        elif program == "CP2K":
            notes.doubt(
                "frames have no cell, because there is no PROJECT-1.cell of their step beside "
                "them: they were read as molecules without periodicity",
                path,
            )
        if program == "CP2K" and "forces" not in results:
            notes.doubt(
                "frames have no forces, because there is no PROJECT-frc-1.xyz of their step "
                "beside them (MOTION/PRINT/FORCES)",
                path,
            )
        atoms.calc = SinglePointCalculator(atoms, **results)
        yield atoms


def _numbered(steps: Sequence[int | None]) -> list[_Step]:
    """Number repetitions of a step, because restarted runs repeat some steps."""
    seen: Counter[int | None] = Counter()
    numbered = []
    for step in steps:
        numbered.append((step, seen[step]))
        seen[step] += 1
    return numbered


def _comments(text: str, program: str) -> list[tuple[int | None, float | None]]:
    """Return (step, energy in hartree) of each frame; `None` for missing values."""
    lines = text.split("\n")
    found: list[tuple[int | None, float | None]] = []
    k = 0
    while k + 1 < len(lines):
        if not lines[k].strip().isdigit():
            k += 1
            continue
        match = _COMMENTS[program].match(lines[k + 1])
        step = int(match.group(1)) if match and program == "CP2K" else None
        energy = float(match.groups()[-1].upper().replace("D", "E")) if match else None
        found.append((step, energy))
        k += 2 + int(lines[k])
    return found


def _forces(path: Path, role: re.Match[str] | None) -> dict[_Step, tuple[list[str], np.ndarray]]:
    """Read PROJECT-frc-1.xyz: step → (symbols, forces [n_atoms, 3] in eV/Å)."""
    if role is None:
        return {}
    beside = path.with_name(f"{role['project']}-frc-{role['image']}{path.suffix}")
    if not beside.is_file():
        return {}
    text = read_text(beside)
    steps = _numbered([step for step, _ in _comments(text, "CP2K")])
    return {
        step: (atoms.get_chemical_symbols(), atoms.positions * Hartree / Bohr)
        for step, atoms in zip(steps, read_xyz(beside, text, Notes()), strict=True)
    }


def _cells(path: Path, role: re.Match[str] | None) -> dict[_Step, np.ndarray]:
    """Read PROJECT-1.cell: step → cell [3, 3] in Å, rows."""
    if role is None:
        return {}
    beside = path.with_name(f"{role['project']}-{role['image']}.cell")
    if not beside.is_file():
        return {}
    table = np.loadtxt(beside, ndmin=2)
    steps = _numbered([int(row[0]) for row in table])
    return {step: row[2:11].reshape(3, 3) for step, row in zip(steps, table, strict=True)}
