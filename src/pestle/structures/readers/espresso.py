"""Outputs of pw.x of Quantum ESPRESSO: ASE reads the steps; unconverged ones are left out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io.espresso import read_espresso_out

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.text import read_text

UNCONVERGED = "steps whose electronic iterations did not converge were left out"
_START = "Program PWSCF"
_NOT_ACHIEVED = "convergence NOT achieved"
# Written by hybrid functionals after their outer loop; ASE takes the first energy of the step,
# which is that of the semilocal functional.
_HYBRID = "!!   total energy"


def read_espresso(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the converged steps of an output of pw.x.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Raises:
        PestleError: the output is of a hybrid functional, whose energies ASE misreads.
    """
    text = read_text(path)
    if _HYBRID in text:
        raise PestleError(
            "is an output of a hybrid functional, of which the energy that is read would be the "
            "semilocal one",
            where=str(path),
            fix="Write the structures as extended XYZ with the energies of the lines that begin "
            "with '!!'.",
        )
    if text.count(_START) > 1:
        notes.take_as("runs of pw.x are joined in one file: each was read by its own header", path,
                      text.count(_START))  # fmt: skip
    found = list(read_espresso_out(io.StringIO(text), index=slice(None)))
    # The energy of an unconverged step is written without the "!" that ASE looks for.
    unconverged = text.count(_NOT_ACHIEVED)
    without = sum(atoms.calc.results.get("energy") is None for atoms in found)
    if unconverged:
        notes.leave_out(UNCONVERGED, path, unconverged)
    if without > unconverged:
        notes.leave_out("steps without a total energy were left out", path, without - unconverged)
    for atoms in found:
        if atoms.calc.results.get("energy") is not None:
            yield atoms
