"""Scans given by the user: labelled frames in groups, sorted by a coordinate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.errors import PestleError, nearest
from pestle.protocols.base import Inputs
from pestle.settings.probe import TorsionSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.wording import counted

#: Default key of the coordinate.
ANGLE = "dihedral_angle"
#: Smallest number of frames of a scan.
FEWEST = 3
#: Largest number of unlabelled frames that a message names.
NAMED = 5


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        name: unique name: that of its group, with that of its set if several scans have the same.
        rows: indices of its frames among all labelled ones, in the order of `x`.
        x: the coordinate, ascending.
        x_label: name of the coordinate.
        reference: [n_frames] labels, eV.
    """

    name: str
    rows: tuple[int, ...]
    x: tuple[float, ...]
    x_label: str
    reference: np.ndarray


def labelled(inputs: Inputs) -> tuple[list[Frame], str]:
    """Return the frames with an energy, without isolated atoms, and a text about the others.

    Raises:
        PestleError: there is no frame with an energy.
    """
    frames = split_isolated_atoms(inputs.frames)[0]
    if not frames:
        raise PestleError(
            "no scan is given", where="torsion", fix="Give --data SCANS.xyz with REF_energy."
        )
    found, without = [], []
    for frame in frames:
        if frame.energy is None:
            without.append(frame.where)
            continue
        found.append(frame)
    if not found:
        raise PestleError(
            "no frame has an energy", where=frames[0].source or "torsion", fix="Label REF_energy."
        )
    names = f"{', '.join(without[:NAMED])}{' …' if len(without) > NAMED else ''}"
    return found, f"{len(without)} without an energy: {names}" if without else ""


def scans(inputs: Inputs, settings: TorsionSettings) -> list[Scan]:
    """Return the scans of all sets, in the order of their first frames.

    Args:
        inputs: contain the frames.
        settings: name the keys of group and coordinate.

    Raises:
        PestleError: a key is missing, or the frames of a group are not a scan of one molecule.
    """
    frames = labelled(inputs)[0]
    set_of = [name for name, own in inputs.sets.items() for _ in _labelled_of(own)]
    groups: dict[tuple[str, str], list[int]] = {}
    for row, (frame, where) in enumerate(zip(frames, set_of, strict=True)):
        groups.setdefault((where, _group(frame, settings.group)), []).append(row)
    names = _names(list(groups), settings.group)
    return [
        _scan(name, rows, frames, settings.angle)
        for name, rows in zip(names, groups.values(), strict=True)
    ]


def has_reference(sets: Mapping[str, Sequence[Frame]]) -> bool:
    """Whether the sets contain a frame with an energy, apart from isolated atoms."""
    return any(_labelled_of(frames) for frames in sets.values())


def _names(groups: Sequence[tuple[str, str]], key: str | None) -> list[str]:
    """Return a unique name for each (set, group)."""

    def named(where: str, group: str, *, whole: bool) -> str:
        if key is None and group == "Default":
            return where  # only the file distinguishes these frames from others
        return f"{where}: {group}" if whole else group

    brief = [named(*pair, whole=False) for pair in groups]
    found: list[str] = []
    for pair, name in zip(groups, brief, strict=True):
        chosen = full = name if brief.count(name) == 1 else named(*pair, whole=True)
        number = 1
        while chosen in found:
            number += 1
            chosen = f"{full} ({number})"
        found.append(chosen)
    return found


def _labelled_of(frames: Sequence[Frame]) -> list[Frame]:
    return [f for f in frames if not f.is_isolated_atom and f.energy is not None]


def _scan(name: str, rows: Sequence[int], frames: Sequence[Frame], angle: str | None) -> Scan:
    mine = [frames[row] for row in rows]
    first = mine[0]
    if len(mine) < FEWEST:
        raise PestleError(
            f"the scan '{name}' has {counted(len(mine), 'labelled frame')}, it needs {FEWEST}",
            where=first.where,
            fix="torsion.group names the key that tells scans apart (config_type by default).",
        )
    for frame in mine:
        if sorted(frame.numbers) != sorted(first.numbers):
            raise PestleError(
                f"holds {frame.atoms.get_chemical_formula()}, the scan '{name}' "
                f"{first.atoms.get_chemical_formula()}",
                where=frame.where,
                fix="torsion.group names the key that tells scans apart (config_type by default).",
            )
    x, label = _coordinate(mine, angle)
    order = np.argsort(x, kind="stable")
    energy = np.array([frame.energy for frame in mine], dtype=float)
    return Scan(
        name,
        tuple(rows[k] for k in order),
        tuple(float(x[k]) for k in order),
        label,
        energy[order],
    )


def _group(frame: Frame, key: str | None) -> str:
    if key is None:
        return frame.config_type
    if key not in frame.atoms.info:
        raise _missing(frame, key, "torsion.group")
    return str(frame.atoms.info[key])


def _coordinate(frames: Sequence[Frame], key: str | None) -> tuple[np.ndarray, str]:
    """Return the scanned coordinate of each frame, and its name."""
    if key is None and not any(ANGLE in frame.atoms.info for frame in frames):
        return np.arange(1.0, len(frames) + 1), "frame"
    name = key or ANGLE
    found = []
    for frame in frames:
        if name not in frame.atoms.info:
            raise _missing(frame, name, "torsion.angle")
        try:
            found.append(float(frame.atoms.info[name]))
        except (TypeError, ValueError):
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise PestleError(
                f"'{name}' is no finite number: {frame.atoms.info[name]!r}", where=frame.where
            )
    return np.array(found), "dihedral angle (°)" if name == ANGLE else name


def _missing(frame: Frame, key: str, setting: str) -> PestleError:
    known = [name for name in frame.atoms.info if not name.startswith("REF_")]
    return PestleError(
        f"has no '{key}'.{nearest(key, known)}",
        where=frame.where,
        fix=f"{setting} names the key; here are {', '.join(known) or 'none'}.",
    )
