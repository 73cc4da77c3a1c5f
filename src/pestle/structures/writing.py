"""Frames in extended XYZ files that `read_frames` reads without loss.

ASE's own writer rounds every per-atom number to 1e-8. Here each number keeps all its digits, so
that labels and hashes of structures do not change. The comment line is ASE's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.extxyz import key_val_dict_to_str
from ase.stress import full_3x3_to_voigt_6_stress

from pestle.files import replacing
from pestle.structures.frame import Frame

#: Names the model that made the labels, if they do not come from the original calculation.
LABELLED_BY = "pestle_labels"

# These are written from the frame's own fields, never from info and arrays: a label that the frame
# does not have must not reappear when the file is read.
_LABELS = {
    "REF_energy", "REF_forces", "REF_stress", "REF_virials", "energy", "free_energy", "forces",
    "stress", "virial", "virials",
}  # fmt: skip
_OWN = {
    "config_type", "head", "total_charge", "total_spin", LABELLED_BY, "config_weight",
    "config_energy_weight", "config_forces_weight", "config_stress_weight", "Lattice", "Properties",
    "pbc", "numbers", "positions", "symbols", "species", "pos",
}  # fmt: skip
_COLUMN_TYPES = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S", "S": "S", "O": "S"}


def write_frames(path: Path | str, frames: Iterable[Frame]) -> int:
    """Write frames as extended XYZ in eV, eV/Å and eV/Å³, completely or not at all.

    Labels are written as `REF_energy`, `REF_forces` and `REF_stress` (in ASE's Voigt order xx yy zz
    yz xz xy if it is symmetric, otherwise the 9 numbers of the rows). Missing labels are not
    written. `config_type`, weights other than 1, `head`, `total_charge`, `total_spin`,
    `pestle_labels` (the frame's `labelled_by`) and everything else in `atoms.info` and
    `atoms.arrays` are written. Constraints are not; line breaks inside a text become spaces.

    Args:
        path: file to write; its folder is created.
        frames: any number of frames; they are written one by one and not collected.

    Returns:
        The number of frames.
    """
    count = 0
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for frame in frames:
            stream.write(_text(frame))
            count += 1
    return count


def _text(frame: Frame) -> str:
    """Return one frame as text: number of atoms, comment line, one line per atom."""
    names, columns = [], []
    for name, array in _arrays(frame).items():
        kind = _COLUMN_TYPES[array.dtype.kind]
        flat = array.reshape(len(frame), -1)
        names.append(f"{name}:{kind}:{flat.shape[1]}")
        columns += [_cells(column, kind) for column in flat.T]
    atoms = frame.atoms
    cell = " ".join(str(x) for x in atoms.cell.array.ravel().tolist())
    lattice = f'Lattice="{cell}" ' if atoms.cell.array.any() else ""
    info = key_val_dict_to_str({**_info(frame), "pbc": np.asarray(atoms.pbc)})
    rows = [" ".join(row) for row in zip(*columns, strict=True)]
    return "\n".join([str(len(frame)), f"{lattice}Properties={':'.join(names)} {info}", *rows, ""])


def _arrays(frame: Frame) -> dict[str, np.ndarray]:
    """Return the columns by name, symbols and positions first."""
    arrays = {
        "species": np.array(frame.atoms.get_chemical_symbols()),
        "pos": np.asarray(frame.atoms.positions, dtype=float),
    }
    if frame.forces is not None:
        arrays["REF_forces"] = np.asarray(frame.forces, dtype=float)
    for name, array in frame.atoms.arrays.items():
        if name not in _LABELS | _OWN and array.dtype.kind in _COLUMN_TYPES and array.size:
            arrays[name] = array
    return arrays


def _cells(column: np.ndarray, kind: str) -> list[str]:
    """Return a column as text, in the shortest form that gives the same number when it is read."""
    if kind == "R":
        return [repr(x) for x in column.astype(float).tolist()]
    if kind == "L":
        return ["T" if x else "F" for x in column.tolist()]
    return ["_".join(str(x).split()) or "_" for x in column.tolist()]


def _info(frame: Frame) -> dict[str, Any]:
    """Return the key-value pairs of the comment line."""
    info: dict[str, Any] = {}
    if frame.energy is not None:
        info["REF_energy"] = float(frame.energy)
    if frame.stress is not None:
        stress = np.asarray(frame.stress, dtype=float)
        symmetric = np.array_equal(stress, stress.T)
        info["REF_stress"] = full_3x3_to_voigt_6_stress(stress) if symmetric else stress.ravel()
    info["config_type"] = frame.config_type
    for name in ("weight", "energy_weight", "forces_weight", "stress_weight"):
        if getattr(frame, name) != 1.0:
            info[f"config_{name}"] = float(getattr(frame, name))
    optional = {
        "head": frame.head,
        "total_charge": frame.charge,
        "total_spin": frame.spin,
        LABELLED_BY: getattr(frame, "labelled_by", None),
    }
    info |= {name: value for name, value in optional.items() if value is not None}
    info |= {k: v for k, v in frame.atoms.info.items() if k not in _LABELS | _OWN}
    # ASE reads texts of one line, with escaped backslashes, and no empty ones.
    texts = {
        k: " ".join(v.split()).replace("\\", "\\\\") for k, v in info.items() if isinstance(v, str)
    }
    return {k: v for k, v in (info | texts).items() if texts.get(k) != ""}
