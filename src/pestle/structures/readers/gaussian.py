"""Logs of Gaussian: ASE reads the geometries of each job.

ASE alone stops after the first job of a file (--Link1--, opt followed by freq). It combines
positions in the standard orientation with forces in the input orientation if the log prints no
others, and it does not know the energies of ONIOM and of excited states.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io.gaussian import read_gaussian_out

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.text import read_text

# Each job of a file ends with this line, with or without an error.
_JOB_END = re.compile(r"^ (?:Normal|Error) termination .*$", re.MULTILINE)
_INPUT_FRAME = ("Input orientation:", "Z-Matrix orientation:")
_FORCES = "Forces (Hartrees/Bohr)"
# The method without the prefix for closed, open or restricted shells (RB3LYP, UB3LYP).
_SCF = re.compile(r"SCF Done:\s+E\((?:RO|R|U)?([^)]+)\)")
_STATE = re.compile(r"Charge =\s*(-?\d+)\s+Multiplicity =\s*(\d+)")
_NOT_MET = "Convergence criterion not met"
#: Text in the log → reason why ASE's energy would not belong to the forces.
_OTHER_ENERGIES = {
    "ONIOM: extrapolated energy": "ONIOM: its total energy is not the one that is read",
    "E(TD-HF/TD-DFT)": "excited states: the energy that is read is that of the ground state",
}


def read_gaussian(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the geometries of all jobs of a log that have an energy of a converged calculation.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Raises:
        PestleError: the jobs use several methods, or energies or forces would be read wrongly.
    """
    text = read_text(path)
    for sign, why in _OTHER_ENERGIES.items():
        if sign in text:
            raise PestleError(
                f"is a log of {why}",
                where=str(path),
                fix="Write the structures as extended XYZ with the energies that are meant.",
            )
    if _FORCES in text and not any(word in text for word in _INPUT_FRAME):
        raise PestleError(
            "prints positions in the standard orientation only, and forces in another",
            where=str(path),
            fix="Calculate again with NoSymm, or with Geom=PrintInputOrient.",
        )
    methods = set(_SCF.findall(text))
    if len(methods) > 1:
        raise PestleError(
            f"holds jobs of several methods: {', '.join(sorted(methods))}",
            where=str(path),
            fix="Give the jobs of one method as a file of their own.",
        )
    start = 0
    ends = [match.end() for match in _JOB_END.finditer(text)]
    for end in [*ends, len(text)]:
        job, start = text[start:end], end
        if "orientation:" in job:
            yield from _job(path, job, notes)


def _job(path: Path, text: str, notes: Notes) -> Iterator[Atoms]:
    configurations = list(read_gaussian_out(io.StringIO(text), index=slice(None)))
    failed = text.rfind(_NOT_MET)
    if configurations and failed >= 0 and len(_SCF.findall(text, failed)) <= 1:
        configurations.pop()
        notes.leave_out("geometries whose electronic iterations did not converge were left out",
                        path)  # fmt: skip
    for atoms in configurations:
        if atoms.calc.results.get("energy") is None:
            notes.leave_out("geometries without an energy were left out", path)
            continue
        if state := _STATE.search(text):
            atoms.info |= {
                "total_charge": float(state.group(1)),
                "total_spin": float(state.group(2)),
            }
        yield atoms
