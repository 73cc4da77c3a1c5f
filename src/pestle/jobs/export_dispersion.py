"""The D3 correction of an exported model: a script for ASE, and notes for the user."""

from __future__ import annotations

import re
from pathlib import Path

from ase.units import Bohr

from pestle.errors import PestleError
from pestle.files import write_text
from pestle.foundations.interface import Provenance
from pestle.structures.dispersion import COORDINATION_CUTOFF, D3, PAIR_CUTOFF

_SCRIPT = '''"""{file} with {name}: `from {module} import calculator`, `atoms.calc = calculator()`.

Needs the package dftd3 (pip install dftd3) besides what the model needs.
"""

from pathlib import Path

from ase.calculators.mixing import SumCalculator
from dftd3.ase import DFTD3
from {home} import {kind}


def calculator(**options):
    """The sum of both; options go to {kind}."""
    model = {kind}({argument}=str(Path(__file__).with_name("{file}")), **options)
    correction = DFTD3(
        method="{functional}",
        damping="d3{damping}",
        params_tweaks={{"method": "{functional}", "atm": False}},
        realspace_cutoff={{"disp2": {pairs}, "disp3": {pairs}, "cn": {coordination}}},
    )
    return SumCalculator([model, correction])
'''


def require_absent(path: Path) -> None:
    """Check that a file to write does not exist.

    Args:
        path: the file.

    Raises:
        PestleError: it exists.
    """
    if path.exists():
        raise PestleError(
            "exists already", where=str(path), fix="Remove it, or write elsewhere with -o."
        )


def script_beside(model: Path) -> Path:
    """Return the path of the script for a model file; Python can import its name.

    Args:
        model: file of the model.
    """
    name = re.sub(r"\W", "_", model.stem)
    return model.with_name(f"{'_' * name[:1].isdigit()}{name}_d3.py")


def write_script(path: Path, model: Path, calculator: tuple[str, str, str], correction: D3) -> None:
    """Write a Python file whose `calculator()` is the sum of model and correction.

    Args:
        path: file to write.
        model: file of the model in the same folder.
        calculator: module, class and argument of the ASE calculator that loads the model.
        correction: the D3 correction.
    """
    home, kind, argument = calculator
    text = _SCRIPT.format(
        file=model.name,
        name=correction.name,
        module=path.stem,
        home=home,
        kind=kind,
        argument=argument,
        functional=correction.functional,
        damping=correction.damping,
        pairs=PAIR_CUTOFF * Bohr,
        coordination=COORDINATION_CUTOFF * Bohr,
    )
    write_text(path, text)


def dispersion_notes(provenance: Provenance, correction: D3 | None, to: str) -> list[str]:
    """Return notes on dispersion for the user of an exported model.

    Args:
        provenance: provenance of the model.
        correction: the D3 correction that the user requested; `None` for none.
        to: target of the export.
    """
    removed = provenance.dispersion_removed
    if correction is None and removed:
        return [
            f"{removed} was taken from the labels that it was trained on: add it where the model "
            "is used (--dispersion removed)"
        ]
    if correction is None and provenance.dispersion == "included":
        return ["it was trained on energies with dispersion: add no D3 correction"]
    if correction is None:
        return []
    notes = []
    if removed and correction.name != removed:
        notes.append(f"{removed} was taken from the training labels, and {correction.name} added")
    if provenance.dispersion == "unknown":
        notes.append("whether its training labels held dispersion is unknown: D3 may count twice")
    if to != "ase":
        notes.append(
            f"the files hold the model alone; in LAMMPS {correction.name} is added by pair_style "
            f"hybrid/overlay … dispersion/d3 {correction.damping} {correction.functional} "
            f"{PAIR_CUTOFF * Bohr:.4f} {COORDINATION_CUTOFF * Bohr:.4f} (docs/export.md)"
        )
    return notes
