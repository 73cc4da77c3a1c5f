"""Inputs of a physical test from typed options: structures, elements, default folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.jobs.potentials import Contenders, file_name
from pestle.records.manifest import Manifest
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import read_frames


def read_sets(data: Sequence[str]) -> dict[str, list[Frame]]:
    """Read sets of structures.

    Args:
        data: `NAME=FILES`, or FILES; the name is then that of the file without its ending.

    Returns:
        Name of the set → frames.

    Raises:
        PestleError: a file cannot be read, or two sets have one name.
    """
    sets: dict[str, list[Frame]] = {}
    for text in data:
        name, equals, pattern = text.partition("=")
        if not equals or "/" in name:
            name, pattern = Path(text).stem, text
        if name in sets:
            raise PestleError(
                f"two sets are called '{name}'", where=text, fix="Name one: --data NAME=FILES."
            )
        if not name:
            raise PestleError("a set without a name", where=text, fix="--data NAME=FILES.")
        sets[name] = list(read_frames([pattern]).frames)
        for frame in sets[name]:
            _require_finite(frame)
    return sets


def _require_finite(frame: Frame) -> None:
    """Check that coordinates and labels are finite.

    Raises:
        PestleError: one of them is not; the error names it and the frame.
    """
    of_frame = {
        "the positions": frame.atoms.positions,
        "the cell": frame.atoms.cell.array,
        "the energy": frame.energy,
        "the forces": frame.forces,
        "the stress": frame.stress,
    }
    for name, value in of_frame.items():
        if value is not None and not np.isfinite(value).all():
            verb = "is" if name in ("the cell", "the energy", "the stress") else "are"
            raise PestleError(
                f"{name} {verb} not finite", where=frame.where, fix="Leave the frame out."
            )


def elements_for(
    asked: Sequence[str],
    sets: Mapping[str, Sequence[Frame]],
    model: str,
    loaded: Contenders,
) -> tuple[int, ...]:
    """Return the elements of a test.

    They are those that the user named, else those of the training data of a run folder and of the
    sets, else those of the candidate if these are few.

    Args:
        asked: chemical symbols that the user named.
        sets: name of the set → frames.
        model: the candidate as the user named it.
        loaded: the potentials.

    Returns:
        Atomic numbers, ascending.

    Raises:
        PestleError: a name is no element, or the elements of the test are unknown.
    """
    if asked:
        unknown = [symbol for symbol in asked if symbol not in atomic_numbers]
        if unknown:
            raise PestleError(f"'{unknown[0]}' is no element", where="elements")
        return tuple(sorted({atomic_numbers[symbol] for symbol in asked}))
    frames = [frame for found in sets.values() for frame in found]
    trained = Path(model) / "manifest.json"
    if trained.is_file():
        shifts = Manifest.of_run(trained).reference_energies.shift
        of_data = {atomic_numbers[symbol] for symbol in shifts}
        return tuple(sorted(of_data | set(elements_of(frames))))
    if frames:
        return tuple(sorted(elements_of(frames)))
    known = loaded.candidate.elements
    if known is not None and len(known) <= 8:
        return tuple(sorted(known))
    raise PestleError(
        "it is not known which elements the model will be used for",
        where="elements",
        fix="Give --elements H,C,O or --data FILES.",
    )


def default_folder(name: str, model: str) -> Path:
    """Return the default folder for results of a protocol.

    Args:
        name: name of the protocol.
        model: the model as the user named it.
    """
    path = Path(model)
    if (path / "run.yaml").is_file():
        return path / "protocols" / name
    if model.startswith("calculator:") or catalogue.find(model) is not None:
        return Path("probe") / name / file_name(model)
    return path.resolve().parent / "probe" / path.stem / name
