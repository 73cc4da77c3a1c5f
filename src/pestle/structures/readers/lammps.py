"""Text dumps of LAMMPS: structures without energies, with forces of the potential used in LAMMPS.

ASE takes atom types for atomic numbers if a dump has neither elements nor masses (type 1 would be
hydrogen), and assigns an energy of zero to every dump with forces.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.symbols import changes, masses_of, symbols_of
from pestle.structures.readers.text import read_text
from pestle.wording import counted

#: Name of the array for forces of a dump; it says where they come from.
FORCES = "lammps_forces"
_FRAME = re.compile(r"^ITEM: TIMESTEP", re.MULTILINE)
# Largest deviation of a given mass from that of an element, u.
_MASS_TOLERANCE = 0.1
_WITH_ELEMENTS = (
    "Write the dump with elements: dump … custom … id type element x y z, and dump_modify … "
    "element with one symbol per type."
)


def read_dump(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the structures of a dump.

    Its forces become an array `lammps_forces`, which is only read if the user names it.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Raises:
        PestleError: the file does not contain the elements, or a step is incomplete.
    """
    text = read_text(path)
    starts = [match.start() for match in _FRAME.finditer(text)]
    for index, (begin, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True)):
        where = f"{path} frame {index}"
        lines = text[begin:end].rstrip("\n").split("\n")
        masses = _mend(path, where, lines, notes)
        stream = io.StringIO("\n".join(lines) + "\n")
        atoms: Atoms = ase.io.read(stream, format="lammps-dump-text", index=0)
        if atoms.calc is not None:
            atoms.arrays[FORCES] = np.asarray(atoms.calc.results["forces"])
            atoms.calc = None
            notes.leave_out(
                "frames of a dump have forces of the potential that ran in LAMMPS, in its units, "
                "and no energies: neither was read",
                path,
            )
        if masses is not None:
            atoms.set_masses(masses)
        yield atoms


def _mend(path: Path, where: str, lines: list[str], notes: Notes) -> np.ndarray | None:
    """Replace names by plain symbols in the atom lines; without names, check the masses.

    Returns:
        Masses [n_atoms] in u if there are isotopes, otherwise `None`.

    Raises:
        PestleError: see `read_dump`.
    """
    heads = [k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS")]
    counts = [k for k, line in enumerate(lines) if line.startswith("ITEM: NUMBER OF ATOMS")]
    count = int(lines[counts[0] + 1]) if counts and counts[0] + 1 < len(lines) else None
    rows = len(lines) - heads[0] - 1 if heads else 0
    if count is None or rows != count:
        raise PestleError(
            f"the step has {counted(rows, 'atom')} where its NUMBER OF ATOMS is {count}",
            where=where,
            fix="Is the file cut off?" if count is None or rows < count else None,
        )
    names = lines[heads[0]].split()[2:]
    table = [line.split() for line in lines[heads[0] + 1 :]]
    if "element" not in names:
        if "mass" not in names:
            raise PestleError(
                f"has no elements, only {'types' if 'type' in names else ', '.join(names)}: which "
                "element a type is stands in the input of LAMMPS",
                where=where,
                fix=_WITH_ELEMENTS,
            )
        for mass in sorted({float(row[names.index("mass")]) for row in table}):
            if np.abs(atomic_masses[1:] - mass).min() > _MASS_TOLERANCE:
                raise PestleError(
                    f"{mass:g} is the mass of no element", where=where, fix=_WITH_ELEMENTS
                )
        return None
    place = names.index("element")
    found = symbols_of({row[place] for row in table}, where)
    if read_as := changes(found):
        notes.take_as(f"frames have names of atoms that were read as elements: {read_as}", path)
    masses = masses_of([row[place] for row in table], found)
    for k, row in enumerate(table):
        row[place] = found[row[place]][0]
        lines[heads[0] + 1 + k] = " ".join(row)
    if masses is not None and "id" in names:  # ASE sorts the atoms so
        masses = masses[np.argsort([int(row[names.index("id")]) for row in table], kind="stable")]
    return masses
