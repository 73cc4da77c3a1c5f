"""XYZ and extended XYZ: ASE reads each frame after it has been checked and repaired.

ASE's reader stops silently at an empty line between frames, ignores columns that `Properties` does
not name, prefers a `Z` column to a `species` column that contradicts it, and fails on D, 1.0D-03 or
a byte-order mark. Here the frames are separated first, and each is checked to be complete and to
have the announced columns.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import extxyz

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.symbols import changes, masses_of, symbols_of
from pestle.structures.readers.text import plain_numbers
from pestle.wording import counted

# Properties with its value, with or without quotes.
_PROPERTIES = re.compile(r"""\bProperties\s*=\s*(?:"([^"]*)"|\{([^}]*)\}|(\S+))""", re.IGNORECASE)
_LATTICE = re.compile(r"\bLattice\s*=", re.IGNORECASE)
# Number of lines searched for content after a frame.
_AHEAD = 100
_DEFAULT_COLUMNS = "species:S:1:pos:R:3"
# Names of the columns of chemical symbols and of atomic numbers in other programs.
_SPECIES = frozenset({"species", "symbols", "symbol", "element", "elements", "atom", "atoms"})
_NUMBERS = frozenset({"z", "numbers", "atomic_numbers", "atomic_number", "atomicnumber"})
# In extended XYZ these are 9 numbers, and ASE accepts no other form.
_TENSORS = re.compile(r"""\b(stress|virial)\s*=\s*["{\[]([^"}\]]*)["}\]]""")
# A number without a key in a comment line without any key.
_NUMBER_ALONE = re.compile(r"^[^=]*(?<![\w.])[-+]?\d+\.\d+[^=]*$")


@dataclass
class _Frame:
    """Lines of one frame, the index of its first line, and whether it is the last one."""

    index: int
    first_line: int
    comment: str
    rows: list[str]
    is_last: bool
    cell_rows: list[str] = field(default_factory=list)


def read_xyz(path: Path, text: str, notes: Notes) -> Iterator[Atoms]:
    """Read the frames of a file.

    Args:
        path: the file, for messages.
        text: its content.
        notes: records what was left out or converted; changed in place.

    Raises:
        PestleError: a frame is incomplete, has other columns than announced, or contains unknown
            elements.
    """
    for frame in _frames(path, plain_numbers(text)):
        yield _atoms(path, frame, notes)


def _frames(path: Path, text: str) -> Iterator[_Frame]:
    lines = text.split("\n")
    k, index = 0, 0
    while k < len(lines):
        if not lines[k].strip():
            k += 1
            continue
        count = _count(path, lines, k, index)
        comment = lines[k + 1] if k + 1 < len(lines) else ""
        rows = lines[k + 2 : k + 2 + count]
        full = [row for row in rows if row.strip()]
        if len(full) < count and not any(line.strip() for line in lines[k + 2 + len(full) :]):
            raise PestleError(
                f"the file ends after {len(full)} of the {count} atoms of this frame",
                where=f"{path} frame {index}",
                fix="Is the file cut off?",
            )
        last = not any(line.strip() for line in lines[k + 2 + count : k + 2 + count + _AHEAD])
        frame = _Frame(index, k, comment, rows, last)
        k += 2 + count
        while k < len(lines) and lines[k].lstrip().startswith("VEC"):
            frame.cell_rows.append(lines[k])
            k += 1
        yield frame
        index += 1


def _count(path: Path, lines: Sequence[str], k: int, index: int) -> int:
    """Return the number of atoms in line `k`, the first of a frame."""
    if lines[k].strip().isdigit():
        return int(lines[k])
    seen = lines[k].strip()[:60]
    if index == 0:
        raise PestleError(
            f"cannot be read as XYZ: its first line is '{seen}', not a number of atoms",
            where=str(path),
        )
    raise PestleError(
        f"line {k + 1} is '{seen}' where the number of atoms of frame {index} should stand: frame "
        f"{index - 1} has more lines than its number of atoms says",
        where=str(path),
    )


def _atoms(path: Path, frame: _Frame, notes: Notes) -> Atoms:
    """Read one frame with ASE."""
    where = f"{path} frame {frame.index}"
    comment = _LATTICE.sub("Lattice=", frame.comment)
    _require_tensors(comment, where)
    named = _PROPERTIES.search(comment)
    columns = _columns(next(filter(None, named.groups()), "") if named else _DEFAULT_COLUMNS, where)
    rows, masses = _rows(path, frame, columns, bool(named), notes)
    if named:
        spelled = ":".join(f"{c.name}:{c.kind}:{c.width}" for c in columns)
        comment = f"{comment[: named.start()]}Properties={spelled}{comment[named.end() :]}"
    elif _NUMBER_ALONE.match(comment):
        notes.leave_out(
            "frames have numbers without keys in their comment line, which were not read; write "
            "energy= before the energy in eV",
            path,
        )
    text = "\n".join([str(len(rows)), comment, *rows, *frame.cell_rows, ""])
    atoms: Atoms = next(extxyz.read_xyz(io.StringIO(text), 0))
    if masses is not None:
        atoms.set_masses(masses)
    return atoms


@dataclass
class _Column:
    """Columns with one name; `start` is the index of the first of them, from 0."""

    name: str
    kind: str
    width: int
    start: int


def _columns(properties: str, where: str) -> list[_Column]:
    """Return the columns of the atom lines in ASE's names, including one with the element.

    Raises:
        PestleError: there is no column of elements or positions.
    """
    fields = properties.split(":")
    columns: list[_Column] = []
    start = 0
    try:
        for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            columns.append(_Column(name, kind, int(width), start))
            start += int(width)
    except ValueError:
        raise PestleError(
            f"Properties is not made of name:type:columns: {properties[:120]}", where=where
        ) from None
    for ase_name, others in (("species", _SPECIES), ("Z", _NUMBERS)):
        same = [c for c in columns if c.name.lower() in others and c.width == 1]
        if same and ase_name not in {c.name for c in columns}:
            same[0].name = ase_name
    names = [column.name for column in columns]
    if "pos" not in names or not {"species", "Z"} & set(names):
        missing = "species" if "pos" in names else "pos"
        raise PestleError(
            f"Properties names no column '{missing}': {', '.join(names)}",
            where=where,
            fix="Write Properties=species:S:1:pos:R:3 and so on.",
        )
    return columns


def _require_tensors(comment: str, where: str) -> None:
    """Check that `stress` and `virial` are 9 numbers.

    Raises:
        PestleError: they are not.
    """
    for name, value in _TENSORS.findall(comment):
        if len(value.replace(",", " ").split()) != 9:
            other = "REF_stress" if name == "stress" else "REF_virials"
            raise PestleError(
                f"'{name}' is not 9 numbers, as extended XYZ has it: {value[:60]}",
                where=where,
                fix=f"Write 9 numbers, or {other} with 6 in the order xx yy zz yz xz xy.",
            )


def _rows(
    path: Path, frame: _Frame, columns: Sequence[_Column], named: bool, notes: Notes
) -> tuple[list[str], np.ndarray | None]:
    """Return atom lines with plain symbols and numbers, and masses in u if there are isotopes.

    Raises:
        PestleError: a line has too few columns, or elements are unknown or contradict each other.
    """
    where = f"{path} frame {frame.index}"
    width = sum(column.width for column in columns)
    table = [row.split() for row in frame.rows]
    for k, cells in enumerate(table):
        if len(cells) < width:
            raise PestleError(
                f"line {frame.first_line + 3 + k} has too few columns, {len(cells)} where "
                f"{'Properties names' if named else 'an atom of XYZ has'} {width}: "
                f"'{' '.join(cells)[:60]}'",
                where=where,
                fix="Is the file cut off?"
                if frame.is_last and k == len(table) - 1
                else f"Does the frame have {counted(len(table), 'atom')}, as its first line says?",
            )
    if table and all(len(cells) > width and _is_number(cells[-1]) for cells in table):
        notes.leave_out(
            f"frames have {len(table[0]) - width} more columns than "
            f"{', '.join(column.name for column in columns)}, which were not read; if three of "
            "them are forces in eV/Å, write Properties=species:S:1:pos:R:3:REF_forces:R:3",
            path,
        )
    masses, renamed = _name_elements(path, frame, {c.name: c for c in columns}, table, notes)
    return ["  ".join(cells) for cells in table] if renamed else frame.rows, masses


def _name_elements(
    path: Path,
    frame: _Frame,
    columns: Mapping[str, _Column],
    table: Sequence[list[str]],
    notes: Notes,
) -> tuple[np.ndarray | None, bool]:
    """Replace names by plain symbols in the table.

    Returns:
        Masses [n_atoms] in u if there are isotopes, and whether any name was changed.
    """
    if "species" not in columns:
        return None, False
    where = f"{path} frame {frame.index}"
    column = columns["species"]
    column.kind = "S"
    names = [cells[column.start] for cells in table]
    found = symbols_of(set(names), where)
    if read_as := changes(found):
        notes.take_as(f"frames have names of atoms that were read as elements: {read_as}", path)
    for cells, name in zip(table, names, strict=True):
        if read_as:
            cells[column.start] = found[name][0]
        if "Z" in columns:
            number = cells[columns["Z"].start]
            if number != str(atomic_numbers[found[name][0]]):
                raise PestleError(
                    f"species says {name} where the column Z says {number}", where=where
                )
    return masses_of(names, found), bool(read_as)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
