"""Readers of structure files, one module per program.

ASE parses everything. These modules repair a file before ASE reads it, refuse a file that ASE would
misread, and count what was left out. Exceptions of a reader become one sentence about the file.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, get_ioformat, open_with_compression

from pestle.errors import PestleError
from pestle.structures.readers.cp2k import program_of, read_trajectory
from pestle.structures.readers.database import read_database
from pestle.structures.readers.espresso import read_espresso
from pestle.structures.readers.gaussian import read_gaussian
from pestle.structures.readers.kinds import AS_XYZ, kind_of, unknown_file
from pestle.structures.readers.lammps import read_dump
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.orca import read_orca
from pestle.structures.readers.text import EndingOnce, read_text
from pestle.structures.readers.vasp import read_outcar, read_vasprun
from pestle.structures.readers.xyz import read_xyz
from pestle.structures.sizes import require_room_for_atoms

__all__ = ["Notes", "read_structures"]

_READERS = {
    "vasp-out": read_outcar,
    "vasp-xml": read_vasprun,
    "gaussian-out": read_gaussian,
    "orca-output": read_orca,
    "espresso-out": read_espresso,
    "lammps-dump-text": read_dump,
}


def read_structures(path: Path, notes: Notes) -> list[Atoms]:
    """Read all structures of a file; labels are in `info`, `arrays` and the calculator's results.

    Args:
        path: the file.
        notes: records what was left out or converted; changed in place.

    Returns:
        The structures.

    Raises:
        PestleError: the file cannot be read, or would be read wrongly.
    """
    kind = kind_of(path)
    found: list[Atoms] = []
    try:
        with _quiet():
            for atoms in _structures(path, kind, notes):
                found.append(atoms)
    except PestleError:
        raise
    except UnknownFileTypeError:
        raise unknown_file(path) from None
    except Exception as error:  # readers raise any exception: KeyError, IndexError, …
        raise PestleError(
            f"cannot be read as {kind}: {_sentence(error)}",
            where=f"{path} frame {len(found)}",
            fix="Is the file cut off?" if _is_an_end(error) else _advice(kind),
        ) from error
    return found


def _structures(path: Path, kind: str, notes: Notes) -> Iterator[Atoms]:
    if kind == "db":
        return read_database(path)
    if kind == "extxyz":
        require_room_for_atoms(path)
        text = read_text(path)
        program = program_of(text)
        if program is not None:
            return read_trajectory(path, text, program, notes)
        return read_xyz(path, text, notes)
    if kind in _READERS:
        return _READERS[kind](path, notes)
    return _by_ase(path, kind)


def _by_ase(path: Path, kind: str) -> Iterator[Atoms]:
    """Read a file with ASE alone.

    ASE gets absolute paths, because it takes a relative one that begins with postgres or mysql for
    the address of a database.
    """
    known = get_ioformat(kind)
    with ExitStack() as stack:
        source: str | EndingOnce = str(path.absolute())
        if known.acceptsfd and not known.isbinary:
            binary = stack.enter_context(open_with_compression(str(path.absolute()), "rb"))
            source = stack.enter_context(EndingOnce(binary))
        for atoms in ase.io.iread(source, index=":", format=kind, do_not_split_by_at_sign=True):
            if not isinstance(atoms, Atoms):
                raise PestleError(
                    f"cannot be read as {kind}: no structure is found in it",
                    where=str(path),
                    fix=_advice(kind),
                )
            yield atoms


def _advice(kind: str) -> str | None:
    """Return advice for a file whose name made ASE assume this kind."""
    if kind in (*_READERS, "db", "extxyz"):
        return None
    return f"If it is no file of that kind: {AS_XYZ[0].lower()}{AS_XYZ[1:]}"


def _is_an_end(error: Exception) -> bool:
    """Whether a reader failed because the file ended too early."""
    signs = ("end of file", "unexpected end", "truncated", "buffer is smaller")
    text = str(error).lower()
    return isinstance(error, (EOFError, StopIteration)) or any(sign in text for sign in signs)


def _sentence(error: Exception) -> str:
    """Return the text of an exception, with its type if the text alone is not clear."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is not known or is missing"
    if isinstance(error, (ValueError, RuntimeError, OSError)) and text:
        return text
    return f"{type(error).__name__}{': ' + text if text else ''}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and log lines of ASE, which name no file; notes replace them."""
    logger = logging.getLogger("ase")
    before = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(before)
