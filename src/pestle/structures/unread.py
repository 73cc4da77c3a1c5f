"""Numbers in a file that were not read: their possible meaning, and the option that reads them.

Other programs write labels under other names than the default ones (`force`, `virial`,
`dft_energy`). Pestle does not guess from a name; it reports the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

# Keys that are read elsewhere, or that only describe a frame.
_READ_ANYWAY = frozenset(
    {"config_type", "head", "total_charge", "total_spin", "pestle_labels", "config_weight",
     "config_energy_weight", "config_forces_weight", "config_stress_weight", "pbc", "ENCUT", "IVDW"}
)  # fmt: skip
# Arrays that any structure can have, and that are not labels, whatever their shape.
_STRUCTURE = frozenset(
    {"numbers", "positions", "masses", "momenta", "tags", "initial_magmoms", "initial_charges",
     "move_mask", "spacegroup_kinds", "castep_labels", "occupancy"}
)  # fmt: skip
_RESULTS = ("energy", "free_energy", "forces", "stress")

_ENERGY = frozenset(
    {"energy", "energies", "etot", "toten", "e0", "etotal", "ener", "epot", "poteng", "u0", "e"}
)
_FORCES = frozenset({"force", "forces", "frc", "f"})
_GRADIENTS = frozenset({"gradient", "gradients", "grad", "grads"})
_CHARGE = frozenset({"charge", "net_charge", "tot_charge", "totalcharge", "q"})
_SPIN = frozenset({"spin", "multiplicity", "spin_multiplicity", "mult", "2s+1"})
# An energy whose name contains one of these words is not the total energy of the frame.
_OTHER_ENERGY = frozenset(
    {"formation", "atomization", "atomisation", "binding", "interaction", "cohesive", "fermi",
     "kinetic", "zero", "zpe", "homo", "lumo", "gap", "weight", "sigma", "std", "var",
     "variance", "error", "uncertainty", "dispersion", "d3", "vdw", "above", "hull", "surface",
     "per"}
)  # fmt: skip

# Without these keys every model assumes a neutral closed-shell structure.
_PLAIN = {"charge": 0.0, "spin": 1.0}


@dataclass(frozen=True)
class Unread:
    """One key of one frame that was not read.

    Attributes:
        key: name of the key.
        place: `info` (the comment line), `arrays` (columns) or `calculator`.
        kind: `energy`, `per-atom energy`, `forces`, `gradients`, `stress`, `virials`, `charge`,
            `spin` or, if the name is unknown, `number`, `tensor`, `vectors`.
        lacking: whether the frame has no label of this kind.
    """

    key: str
    place: str
    kind: str
    lacking: bool


@cache
def _unread(key: str, place: str, kind: str, lacking: bool) -> Unread:
    """Return one shared object for all equal arguments."""
    return Unread(key, place, kind, lacking)


def unread_of(
    info: Mapping[str, Any],
    arrays: Mapping[str, Any],
    calculated: Mapping[str, Any],
    n_atoms: int,
    read: Mapping[str, tuple[str, Any]],
) -> tuple[Unread, ...]:
    """Return the numbers of a frame that have the shape of a label and were not read.

    Args:
        info, arrays, calculated: content of the file.
        n_atoms: number of atoms in the frame.
        read: label → (its key, its value). A key with the same value as the label of its kind
            contains nothing new and is left out.
    """
    used = {key.removeprefix("calculator: ") for key, _ in read.values()}
    found: list[Unread] = []
    for place, key, value in _candidates(info, arrays, calculated):
        if key in used:
            continue
        kind = _kind(key, value, place, n_atoms)
        if kind is None or (kind in read and _same(value, read[kind][1])):
            continue
        if kind in ("charge", "spin") and float(np.ravel(value)[0]) == _PLAIN[kind]:
            continue
        label = {"gradients": "forces", "virials": "stress", "per-atom energy": "energy"}
        lacking = label.get(kind, kind) not in read
        found.append(_unread(key, place, kind, lacking))
    return tuple(found)


def _candidates(
    info: Mapping[str, Any], arrays: Mapping[str, Any], calculated: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any]]:
    for key, value in info.items():
        if key not in _READ_ANYWAY:
            yield "info", str(key), value
    for key, value in arrays.items():
        if key not in _STRUCTURE:
            yield "arrays", str(key), value
    for key in _RESULTS:
        if calculated.get(key) is not None:
            yield "calculator", key, calculated[key]


def _kind(key: str, value: Any, place: str, n_atoms: int) -> str | None:
    """Return the kind of a key from its shape and name; `None` if no label has its shape."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        return None
    named = name_kind(key)
    vectors = array.size == 3 * n_atoms and (place != "arrays" or array.ndim == 2)
    if vectors and named in ("forces", "gradients"):
        return named
    if place != "arrays" and array.size == 1:
        known = ("energy", "per-atom energy", "charge", "spin")
        return named if named in known else "number"
    if place != "arrays" and array.size in (6, 9) and not (vectors and named is None):
        return named if named in ("stress", "virials") else "tensor"
    return "vectors" if vectors and n_atoms > 1 else None


def name_kind(key: str) -> str | None:
    """Return the kind of numbers that a name means in any program; `None` if it is unknown."""
    lower = key.lower()
    if lower in _CHARGE or lower in _SPIN:
        return "charge" if lower in _CHARGE else "spin"
    words = [w for w in re.split(r"[^a-z0-9+]+", lower) if w]
    last_first = re.sub(r"([a-z])(energy|forces?|stress|virials?)$", r"\1 \2", lower).split()
    words += [w for w in last_first if w not in words]
    if {"per", "atom"} <= set(words) and _ENERGY & set(words) and "formation" not in words:
        return "per-atom energy"
    for kind, names in (
        ("virials", {"virial", "virials"}),
        ("stress", {"stress", "stresses"}),
        ("gradients", _GRADIENTS),
        ("forces", _FORCES),
        ("energy", _ENERGY),
    ):
        if names & set(words) and not _OTHER_ENERGY & set(words):
            return kind
    return None


def _same(value: Any, label: Any) -> bool:
    one, two = np.asarray(value, dtype=float).ravel(), np.asarray(label, dtype=float).ravel()
    if one.size == 6 and two.size == 9:
        one = voigt_6_to_full_3x3_stress(one).ravel()
    return one.shape == two.shape and bool(np.allclose(one, two, rtol=1e-9, atol=1e-9))
