"""Whether runs of VASP that are joined in one file were calculated in one way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes

# What makes another functional, and what makes other energies of the same functional.
_FUNCTIONAL = ("GGA", "LEXCH", "METAGGA", "LHFCALC", "AEXX", "LDAU", "IVDW", "LUSE_VDW")
_ACCURACY = ("ENCUT", "ENMAX")
_NAMES = "|".join((*_FUNCTIONAL, *_ACCURACY))
_LINE = re.compile(rf"^\s+({_NAMES})\s*=\s*(\S+)", re.MULTILINE)
_TAG = re.compile(rf'<i [^>]*name="({_NAMES})"[^>]*>\s*([^<\s]*)')


def require_one_level(path: Path, headers: Sequence[str], notes: Notes) -> None:
    """Compare the settings of runs by what stands before their first step.

    Args:
        path: of the file.
        headers: of OUTCAR or vasprun.xml, one per run.
        notes: gets cutoffs that differ.

    Raises:
        PestleError: the functionals differ.
    """
    found = [dict([*_LINE.findall(header), *_TAG.findall(header)]) for header in headers]
    for name in (*_FUNCTIONAL, *_ACCURACY):
        values = list(dict.fromkeys(run[name] for run in found if name in run))
        if len(values) < 2 or sum(name in run for run in found) < len(found):
            continue
        if name in _FUNCTIONAL:
            raise PestleError(
                f"joins runs of several functionals: {name} is {' and '.join(values)}",
                where=str(path),
                fix="Give each run as a file of its own, and one functional to one training.",
            )
        notes.doubt(
            f"runs of VASP are joined that differ in their cutoff ({name} = {', '.join(values)}): "
            "their energies do not lie on one scale",
            path,
            len(found),
        )
