"""Outputs of ORCA: ASE reads the geometries; unconverged ones are left out."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io import ParseError
from ase.io.orca import read_orca_output

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.text import read_text

_CHARGE = re.compile(r"Total Charge\s+Charge\s+\.+\s*(-?\d+)")
_MULTIPLICITY = re.compile(r"Multiplicity\s+Mult\s+\.+\s*(\d+)")


def read_orca(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the geometries of a run that have an energy of a converged calculation.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Raises:
        PestleError: the run did not end normally, the file has no structure, or it joins runs of
            different charges.
    """
    text = read_text(path)
    try:
        found = read_orca_output(io.StringIO(text), index=slice(None))
    except ParseError as error:
        if "did not finish" in str(error):
            raise PestleError(
                "the run of ORCA did not end normally",
                where=str(path),
                fix="Is the file cut off? Look at its last lines.",
            ) from error
        raise PestleError(
            f"cannot be read as an output of ORCA ({error})", where=str(path)
        ) from error
    states = {
        "total_charge": {float(q) for q in _CHARGE.findall(text)},
        "total_spin": {float(m) for m in _MULTIPLICITY.findall(text)},
    }
    if any(len(values) > 1 for values in states.values()):
        raise PestleError(
            "joins runs of several charges or multiplicities",
            where=str(path),
            fix="Give each run as a file of its own.",
        )
    for atoms in found:
        energy = atoms.calc.results.get("energy")
        if energy is None:
            notes.leave_out("geometries without an energy were left out", path)
        elif not math.isfinite(energy):
            notes.leave_out(
                "geometries whose electronic iterations did not converge were left out", path
            )
        else:
            atoms.info |= {name: next(iter(s)) for name, s in states.items() if len(s) == 1}
            yield atoms
