"""Level of theory of VASP runs, and comparison of runs that are joined in one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes

# Settings that change the functional, and settings that change energies of the same functional.
_FUNCTIONAL = ("GGA", "LEXCH", "METAGGA", "LHFCALC", "AEXX", "LDAU", "IVDW", "LUSE_VDW")
_ACCURACY = ("ENCUT", "ENMAX")
_NAMES = "|".join((*_FUNCTIONAL, *_ACCURACY))
_LINE = re.compile(rf"^\s+({_NAMES})\s*=\s*(\S+)", re.MULTILINE)
_TAG = re.compile(rf'<i [^>]*name="({_NAMES})"[^>]*>\s*([^<\s]*)')


def level_of(header: str) -> dict[str, str]:
    """Return the settings that determine the energies of a run, for `atoms.info`.

    Args:
        header: text of OUTCAR or vasprun.xml before the first step.
    """
    found = _settings(header)
    cutoff = found.get("ENCUT", found.get("ENMAX"))
    level = {name: found[name] for name in ("GGA", "METAGGA", "IVDW") if name in found}
    return level | ({"ENCUT": f"{float(cutoff):g}"} if cutoff else {})


def _settings(header: str) -> dict[str, str]:
    """Return name → last value, without GGA if it is that of the potentials."""
    found = dict([*_LINE.findall(header), *_TAG.findall(header)])
    if found.get("GGA") in ("--", ""):
        del found["GGA"]
    if found.get("METAGGA") in ("F", "--", ""):
        found["METAGGA"] = "none"
    return found


def require_one_level(path: Path, headers: Sequence[str], notes: Notes) -> None:
    """Check that joined runs have the same level of theory.

    Args:
        path: the file.
        headers: text before the first step, for each run.
        notes: records different cutoffs; changed in place.

    Raises:
        PestleError: the functionals differ.
    """
    found = [_settings(header) for header in headers]
    for name in (*_FUNCTIONAL, *_ACCURACY):
        values = list(dict.fromkeys(run[name] for run in found if name in run))
        if len(values) < 2:
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
