"""Grimme's D3 dispersion correction: its energies, forces and stress, and its removal from labels.

The two-body energy has Becke–Johnson or zero damping (doi:10.1063/1.3382344,
doi:10.1002/jcc.21759), as in VASP (IVDW=12 and 11), ORCA and LAMMPS. The three-body term is left
out, as in these programs. The package simple-dftd3 (`dftd3`, extra `dispersion`) calculates it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from pestle.errors import PestleError, nearest
from pestle.progress import progress
from pestle.structures.frame import Frame

#: Cutoffs of the sum over pairs and of the coordination numbers (Bohr): VASP's, the D3 program's
#: own. The tail beyond 40 Bohr is still 0.7 meV/atom in rock salt.
PAIR_CUTOFF, COORDINATION_CUTOFF = 95.0, 40.0
_NAME = re.compile(r"(?P<functional>.+?)(?:[-_+ ]?d3(?:[-_ ]?\(?(?P<damping>bj|zero|0)\)?)?)?")


@dataclass(frozen=True)
class D3:
    """The D3 correction of one functional.

    Attributes:
        functional: its name in simple-dftd3.
        damping: `bj` or `zero`.
    """

    functional: str
    damping: str = "bj"

    @classmethod
    def of(cls, text: str, *, where: str = "data.subtract_dispersion") -> D3:
        """Read `pbe`, `pbe-d3(bj)`, `pbe-d3bj` or `pbe-d3(zero)`; the default damping is bj.

        Args:
            text: the name.
            where: the setting that an error message names.

        Raises:
            PestleError: the package is missing, or has no parameters for this functional.
        """
        found = _NAME.fullmatch(text.strip().lower())
        if found is None:
            raise PestleError("no functional was named", where=where, fix="Write e.g. pbe.")
        made = cls(found["functional"], "zero" if found["damping"] in ("zero", "0") else "bj")
        library = _library(where)
        try:
            made._parameters  # noqa: B018 (reads them)
        except RuntimeError:
            known = library.parameters.get_all_damping_params()
            raise PestleError(
                f"no {made.damping} damping of D3 is known for the functional "
                f"'{found['functional']}'",
                where=where,
                fix=f"{nearest(found['functional'], known)} Known are for example pbe, rpbe, "
                "revpbe, pbesol, r2scan, b3lyp, pbe0, hse06 and wb97m.".lstrip(),
            ) from None
        return made

    @property
    def name(self) -> str:
        """Name of the correction, such as `pbe-d3(bj)`."""
        return f"{self.functional}-d3({self.damping})"

    @cached_property
    def _parameters(self) -> Any:
        interface = _library("dispersion").interface
        kind = {"bj": interface.RationalDampingParam, "zero": interface.ZeroDampingParam}
        return kind[self.damping](method=self.functional, atm=False)

    def terms(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Calculate the correction of a structure.

        Args:
            atoms: the structure.

        Returns:
            Energy in eV, forces [n_atoms, 3] in eV/Å, and stress [3, 3] in eV/Å³ (ASE's sign),
            which is `None` unless the structure is periodic in three directions.

        Raises:
            PestleError: an element has no parameters.
        """
        periodic = np.asarray(atoms.pbc, dtype=bool)
        try:
            model = _library("dispersion").interface.DispersionModel(
                atoms.numbers,
                atoms.positions / Bohr,
                atoms.cell.array / Bohr if periodic.any() else None,
                periodic if periodic.any() else None,
            )
            model.set_realspace_cutoff(PAIR_CUTOFF, PAIR_CUTOFF, COORDINATION_CUTOFF)
            found = model.get_dispersion(self._parameters, grad=True)
        except RuntimeError as error:
            raise PestleError(f"D3 cannot be calculated: {error}", where="dispersion") from None
        stress = None
        if periodic.all():
            stress = np.array(found["virial"]) * Hartree / atoms.get_volume()
        return (
            float(found["energy"]) * Hartree,
            -np.array(found["gradient"]) * Hartree / Bohr,
            stress,
        )


def _library(where: str) -> Any:
    """Import simple-dftd3.

    Raises:
        PestleError: it is not installed.
    """
    try:
        import dftd3.interface
        import dftd3.parameters
    except ImportError as error:
        raise PestleError(
            f"D3 needs the package dftd3 ({error})",
            where=where,
            fix="Install it: pip install 'pestle[dispersion]'.",
        ) from None
    return dftd3


def without_dispersion(frames: Sequence[Frame], correction: D3) -> list[Frame]:
    """Subtract the correction from energies, forces and stress.

    Args:
        frames: frames whose labels include the correction; missing labels stay missing.
        correction: the correction in the labels.

    Raises:
        PestleError: an element has no parameters; the message names the frame.
    """
    freed = []
    with progress(f"taking {correction.name} from the labels", max(1, len(frames))) as bar:
        for k, frame in enumerate(frames):
            try:
                energy, forces, stress = correction.terms(frame.atoms)
            except PestleError as error:
                raise PestleError(error.what, where=frame.where) from None
            freed.append(
                replace(
                    frame,
                    energy=None if frame.energy is None else frame.energy - energy,
                    forces=None if frame.forces is None else frame.forces - forces,
                    stress=frame.stress
                    if frame.stress is None or stress is None
                    else frame.stress - stress,
                )
            )
            bar.to(k + 1)
    return freed
