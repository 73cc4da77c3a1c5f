"""Labelled structures from files: which key holds which label, and in which shape.

Labels are looked for under the key the user named, else `REF_*` in info and arrays, else on ASE's
calculator (where ASE puts `energy`, `forces` and `stress` on reading). What was found is counted
per key, so that `pestle check` can say it.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.io.formats import UnknownFileTypeError
from ase.stress import voigt_6_to_full_3x3_stress

from pestle.errors import PestleError, nearest
from pestle.structures.frame import ISOLATED_ATOM, Frame
from pestle.structures.sizes import require_room_for_atoms
from pestle.structures.writing import LABELLED_BY

GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True)
class LabelKeys:
    """Keys named by the user; `None` means REF_*, else ASE's calculator."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virials: str | None = None


@dataclass
class Reading:
    """Frames of a set of files, and how often each label was found under which key."""

    frames: list[Frame] = field(default_factory=list)
    keys: dict[str, Counter[str]] = field(
        default_factory=lambda: {"energy": Counter(), "forces": Counter(), "stress": Counter()}
    )

    def key_counts(self) -> dict[str, dict[str, int]]:
        """JSON-able form of `keys`."""
        return {label: dict(counts) for label, counts in self.keys.items()}


def expand_paths(patterns: Sequence[str]) -> list[Path]:
    """Files behind paths and globs, in order, each once.

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
    """Read all frames of some files.

    Args:
        patterns: paths or globs.
        keys: label keys named by the user.

    Raises:
        PestleError: a file is missing, unreadable or empty; a named key occurs in no frame; a
            label has a shape that cannot be right.
    """
    keys = keys or LabelKeys()
    reading = Reading()
    for path in expand_paths(patterns):
        count = 0
        for index, atoms in enumerate(_read_file(path)):
            reading.frames.append(_frame(atoms, keys, str(path), index, reading.keys))
            count += 1
        if count == 0:
            raise PestleError("holds no structures", where=str(path))
    _require_named_keys(reading, keys, patterns)
    return reading


def _read_file(path: Path) -> Iterator[Atoms]:
    """The structures of one file; whatever ASE raises becomes one line naming the frame."""
    index = 0
    try:
        # A file that is named like extended XYZ is read as such: plain XYZ readers drop the labels.
        kind = "extxyz" if path.suffix.lower() in (".xyz", ".extxyz") else None
        rows = _database(path) if path.suffix.lower() == ".db" else None
        if kind is not None:
            require_room_for_atoms(path)
        # A name that holds @ is this file's, not ASE's way to ask for some frames of another.
        for atoms in rows or ase.io.iread(
            str(path), index=":", format=kind, do_not_split_by_at_sign=True
        ):
            yield atoms
            index += 1
    except UnknownFileTypeError:
        raise PestleError(
            "ASE does not know this file type",
            where=str(path),
            fix="Convert it to extended XYZ, e.g. `ase convert`.",
        ) from None
    except PestleError:
        raise
    except Exception as error:  # readers raise anything: KeyError, IndexError, AssertionError …
        text = str(error).strip() or type(error).__name__
        raise PestleError(
            f"cannot be read ({text})",
            where=f"{path} frame {index}",
            fix="Check that frame; is the file cut off?",
        ) from error


def _database(path: Path) -> Iterator[Atoms]:
    """Rows of an ASE database with its own tables put where files keep them: `ase.io` reads the
    calculator's results only."""
    with ase.db.connect(path) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            for name, value in row.data.items():
                per_atom = np.ndim(value) == 2 and np.shape(value) == (len(atoms), 3)
                is_stress = "stress" in name or "virial" in name  # 3×3 also in three atoms
                store = atoms.arrays if per_atom and not is_stress else atoms.info
                store[name] = np.asarray(value) if np.ndim(value) else value
            yield atoms


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
            present.update(frame.atoms.info, frame.atoms.arrays)
        present -= {"numbers", "positions"}
        raise PestleError(
            f"no frame holds the {label} key '{key}'.{nearest(key, present)}",
            where=", ".join(patterns),
            fix=f"Keys found: {', '.join(sorted(present)) or 'none'}.",
        )


def _frame(
    atoms: Atoms, keys: LabelKeys, source: str, index: int, counts: dict[str, Counter[str]]
) -> Frame:
    """One frame with its labels; the structure loses its calculator."""
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
            if getattr(frame, name) < 0:
                raise PestleError(f"config_{name} is negative", where=where)
    for name in ("charge", "spin"):
        if f"total_{name}" in info:
            setattr(frame, name, _number(info[f"total_{name}"], f"total_{name}", where))

    energy, key = _find(keys.energy, "REF_energy", info, calculated, ("energy", "free_energy"))
    if energy is not None:
        frame.energy = _number(energy, key, where)
        counts["energy"][key] += 1
    forces, key = _find(keys.forces, "REF_forces", arrays, calculated, ("forces",))
    if forces is not None:
        frame.forces = _array(forces, (len(bare), 3), key, where)
        counts["forces"][key] += 1
    stress = None
    if keys.virials is None or keys.stress is not None:  # a virials key alone says where to look
        stress, key = _find(keys.stress, "REF_stress", info, calculated, ("stress",))
    if stress is not None:
        stress = _stress_matrix(stress, key, where)
    else:
        virials, key = _find(keys.virials, "REF_virials", info, {}, ())
        if virials is not None:
            stress = _stress_of_virials(virials, bare, key, where)
    if stress is not None:
        counts["stress"][key] += 1
        if frame.is_periodic:
            frame.stress = stress
        else:
            frame.notes.append("stress ignored: not periodic in three directions")
    return frame


def _find(
    named: str | None,
    default: str,
    store: dict[str, Any],
    calculated: dict[str, Any],
    calculator_names: tuple[str, ...],
) -> tuple[Any, str]:
    """(label, key it was found under); a key the user named is the only place looked at."""
    if named is not None:
        if named in store:
            return store[named], named
        # ASE moves `energy`, `forces` and `stress` from the file to its calculator.
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
    """[3, 3] from 3×3, 9 numbers, or ASE's Voigt order xx yy zz yz xz xy."""
    try:
        flat = np.asarray(value, dtype=float).reshape(-1)
    except (TypeError, ValueError):
        raise PestleError(f"'{key}' is not numbers: {value!r}"[:200], where=where) from None
    if flat.size == 6:
        return voigt_6_to_full_3x3_stress(flat)
    if flat.size == 9:
        return flat.reshape(3, 3)
    raise PestleError(f"'{key}' has {flat.size} numbers, expected 6 or 9", where=where)


def _stress_of_virials(value: Any, atoms: Atoms, key: str, where: str) -> np.ndarray | None:
    """σ = −virial / V in ASE's sign; zero-volume cells have no stress."""
    matrix = _stress_matrix(value, key, where)
    volume = abs(np.linalg.det(atoms.cell.array))
    return -matrix / volume if volume > 0 else np.zeros((3, 3))


def is_reference_atom(frame: Frame) -> bool:
    """Whether a frame can give an E0: a labelled IsolatedAtom."""
    return frame.is_isolated_atom and frame.energy is not None


__all__ = [
    "ISOLATED_ATOM",
    "LabelKeys",
    "Reading",
    "expand_paths",
    "is_reference_atom",
    "read_frames",
]
