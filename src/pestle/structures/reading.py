"""Reading of labelled structures from files: the keys and shapes of labels.

A label is searched under the key that the user named. Without such a key it is searched under
`REF_*` in info and arrays, and then on ASE's calculator (where ASE puts `energy`, `forces` and
`stress` when it reads a file). The labels are counted by key, so that `pestle check` can report
them.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from pestle.errors import PestleError, nearest
from pestle.progress import stage
from pestle.structures.frame import ISOLATED_ATOM, Frame
from pestle.structures.isolated import recognise
from pestle.structures.readers import Notes, read_structures
from pestle.structures.two_energies import energy_gap, energy_names
from pestle.structures.unread import unread_of
from pestle.structures.writing import LABELLED_BY

GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True)
class LabelKeys:
    """Label keys given by the user; `None` means `REF_*`, then ASE's calculator."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virials: str | None = None


@dataclass
class Reading:
    """The frames of several files, the number of labels under each key, and notes."""

    frames: list[Frame] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    keys: dict[str, Counter[str]] = field(
        default_factory=lambda: {"energy": Counter(), "forces": Counter(), "stress": Counter()}
    )

    def key_counts(self) -> dict[str, dict[str, int]]:
        """Return the counts of `keys` in a form that JSON can store."""
        return {label: dict(counts) for label, counts in self.keys.items()}


def expand_paths(patterns: Sequence[str]) -> list[Path]:
    """Return the files that match paths and globs, in order and without repeats.

    Args:
        patterns: paths or globs.

    Raises:
        PestleError: a path does not exist or a pattern matches nothing.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        expanded = str(Path(pattern).expanduser())
        if Path(expanded).is_file():
            matches = [expanded]
        elif GLOB_CHARACTERS & set(expanded):
            found = glob.glob(expanded, recursive=True)  # noqa: PTH207 (absolute patterns, too)
            matches = sorted(m for m in found if Path(m).is_file())
            if not matches:
                raise PestleError("the pattern matches no file", where=pattern)
        else:
            path = Path(expanded)
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise PestleError(
                "is a folder, not a file of structures"
                if path.is_dir()
                else f"no such file.{nearest(path.name, siblings)}",
                where=pattern,
            )
        paths.update(dict.fromkeys(Path(m) for m in matches))
    return list(paths)


def read_frames(patterns: Sequence[str], keys: LabelKeys | None = None) -> Reading:
    """Read all frames of several files.

    Args:
        patterns: paths or globs.
        keys: label keys that the user named.

    Raises:
        PestleError: a file is missing, unreadable or empty; a named key occurs in no frame; a
            label has an impossible shape.
    """
    keys = keys or LabelKeys()
    reading = Reading()
    for path in expand_paths(patterns):
        with stage(f"reading {path}"):
            found = read_structures(path, reading.notes)
            for index, atoms in enumerate(found):
                reading.frames.append(_frame(atoms, keys, str(path), index, reading.keys))
        if not found:
            left_out = "; ".join(reading.notes.of(path))
            raise PestleError(
                f"holds no structures that can be used{': ' if left_out else ''}{left_out}",
                where=str(path),
            )
    _require_named_keys(reading, keys, patterns)
    return reading


def _require_named_keys(reading: Reading, keys: LabelKeys, patterns: Sequence[str]) -> None:
    named = (
        ("energy", keys.energy),
        ("forces", keys.forces),
        ("stress", keys.stress),
        ("stress", keys.virials),
    )
    for label, key in named:
        if key is None or reading.keys[label][key]:
            continue
        present: set[str] = set()
        for frame in reading.frames:
            present.update(frame.atoms.info, frame.atoms.arrays, (u.key for u in frame.unread))
        present -= {"numbers", "positions"}
        raise PestleError(
            f"no frame holds the {label} key '{key}'.{nearest(key, present)}",
            where=", ".join(patterns),
            fix=f"Keys found: {', '.join(sorted(present)) or 'none'}.",
        )


def _frame(
    atoms: Atoms, keys: LabelKeys, source: str, index: int, counts: dict[str, Counter[str]]
) -> Frame:
    """Return one frame with its labels; the structure no longer has its calculator."""
    where = f"{source} frame {index}"
    calculated = dict(atoms.calc.results) if atoms.calc is not None else {}
    info, arrays = atoms.info, atoms.arrays
    bare = atoms.copy()
    bare.calc = None
    frame = Frame(atoms=bare, source=source, index=index)
    frame.config_type = str(info.get("config_type", "Default"))
    frame.head = str(info["head"]) if "head" in info else None
    frame.labelled_by = str(info[LABELLED_BY]) if LABELLED_BY in info else None
    for name in ("weight", "energy_weight", "forces_weight", "stress_weight"):
        if f"config_{name}" in info:
            setattr(frame, name, _number(info[f"config_{name}"], f"config_{name}", where))
            if not getattr(frame, name) >= 0:
                raise PestleError(f"config_{name} is negative or no number", where=where)
    for name in ("charge", "spin"):
        if f"total_{name}" in info:
            setattr(frame, name, _number(info[f"total_{name}"], f"total_{name}", where))

    read: dict[str, tuple[str, Any]] = {}
    names = energy_names(calculated, len(bare))
    energy, key = _find(keys.energy, "REF_energy", info, calculated, names)
    if energy is not None:
        frame.energy = _number(energy, key, where)
        frame.energy_key = key.removeprefix("calculator: ")
        frame.energy_gap = energy_gap(frame.energy_key, frame.energy, calculated)
        counts["energy"][key] += 1
        read["energy"] = key, frame.energy
    # Forces in the comment line are read only if the user named their key.
    places = {**info, **arrays} if keys.forces is not None else arrays
    forces, key = _find(keys.forces, "REF_forces", places, calculated, ("forces",))
    if forces is not None:
        frame.forces = _array(forces, (len(bare), 3), key, where)
        counts["forces"][key] += 1
        read["forces"] = key, frame.forces
    stress = None
    # If the user named only a key for virials, no stress is searched.
    if keys.virials is None or keys.stress is not None:
        stress, key = _find(keys.stress, "REF_stress", info, calculated, ("stress",))
    if stress is not None:
        stress = _stress_matrix(stress, key, where)
    else:
        virials, key = _find(keys.virials, "REF_virials", info, {}, ())
        if virials is not None:
            stress = _stress_of_virials(virials, bare, key, where)
    if stress is not None:
        counts["stress"][key] += 1
        read["stress"] = key, stress
        if frame.is_periodic:
            frame.stress = stress
        else:
            frame.notes.append("stress ignored: not periodic in three directions")
    if not frame.is_periodic:
        read.setdefault("stress", ("", np.zeros(0)))  # a stress is not missing in such a frame
    for name in ("charge", "spin"):
        if getattr(frame, name) is not None:
            read[name] = f"total_{name}", getattr(frame, name)
    frame.unread = unread_of(info, arrays, calculated, len(bare), read)
    if frame.energy_gap is not None:  # another message reports the second energy
        frame.unread = tuple(
            u for u in frame.unread if (u.place, u.kind) != ("calculator", "energy")
        )
    recognise(frame)
    return frame


def _find(
    named: str | None,
    default: str,
    store: dict[str, Any],
    calculated: dict[str, Any],
    calculator_names: tuple[str, ...],
) -> tuple[Any, str]:
    """Return (label, key of the label); if the user named a key, only this key is searched."""
    if named is not None:
        if named in store:
            return store[named], named
        # ASE moves `energy`, `forces` and `stress` of the file to its calculator.
        return (calculated.get(named), named) if named in calculator_names else (None, named)
    if default in store:
        return store[default], default
    for name in calculator_names:
        if calculated.get(name) is not None:
            return calculated[name], f"calculator: {name}"
    return None, default


def _number(value: Any, key: str, where: str) -> float:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.size != 1:
        raise PestleError(f"'{key}' is not one number: {value!r}"[:200], where=where)
    return float(array.reshape(-1)[0])


def _array(value: Any, shape: tuple[int, ...], key: str, where: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float).reshape(shape)
    except (TypeError, ValueError):
        raise PestleError(
            f"'{key}' has shape {np.shape(value)}, expected {shape} numbers", where=where
        ) from None


def _stress_matrix(value: Any, key: str, where: str) -> np.ndarray:
    """Return the stress [3, 3] from 3×3, 9 numbers, or ASE's Voigt order xx yy zz yz xz xy."""
    try:
        flat = np.asarray(value, dtype=float).reshape(-1)
    except (TypeError, ValueError):
        raise PestleError(f"'{key}' is not numbers: {value!r}"[:200], where=where) from None
    if flat.size == 6:
        return voigt_6_to_full_3x3_stress(flat)
    if flat.size == 9:
        return flat.reshape(3, 3)
    raise PestleError(f"'{key}' has {flat.size} numbers, expected 6 or 9", where=where)


def _stress_of_virials(value: Any, atoms: Atoms, key: str, where: str) -> np.ndarray:
    """Return σ = −virial / V in ASE's sign; zero for a cell without volume, which has no stress."""
    matrix = _stress_matrix(value, key, where)
    volume = abs(np.linalg.det(atoms.cell.array))
    return -matrix / volume if volume > 0 else np.zeros((3, 3))


def is_reference_atom(frame: Frame) -> bool:
    """Whether a frame can define an E0: a labelled IsolatedAtom that is not an ion."""
    return frame.is_isolated_atom and frame.energy is not None and not frame.charge


__all__ = [
    "ISOLATED_ATOM",
    "LabelKeys",
    "Reading",
    "expand_paths",
    "is_reference_atom",
    "read_frames",
]
