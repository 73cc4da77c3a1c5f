"""Raw results of a protocol for one potential: kept on disk, reused where nothing has changed.

A folder with `key.json`, which says what the results depend on, and whatever the protocol writes
beside it. It is called after that key, so that results of other settings are never touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pestle.errors import PestleError
from pestle.files import replacing, write_json
from pestle.structures.frame import Frame

KEY, DONE = "key.json", "done.json"


class RawFolder:
    """Where the calculation of one protocol for one potential lies.

    Args:
        path: the folder; made when something is written.
        key: plain data that the results depend on: potential, settings, structures.

    Raises:
        PestleError: there is something else in it.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path = path
        self.key = json.loads(json.dumps(key))
        if path.exists() and any(path.iterdir()) and _read(path / KEY) != self.key:
            raise PestleError(
                "holds something else than the results of this test",
                where=str(path),
                fix="Move it away, or choose another folder with -o.",
            )

    @property
    def finished(self) -> bool:
        """Whether the calculation is complete."""
        return (self.path / DONE).is_file()

    def finish(self, **facts: Any) -> None:
        """Note that it is, and what else should be known of it."""
        self._begin()
        write_json(self.path / DONE, facts)

    @property
    def facts(self) -> dict[str, Any]:
        """What `finish` was given."""
        return _read(self.path / DONE) or {}

    def has(self, name: str) -> bool:
        """Whether these arrays are there."""
        return (self.path / f"{name}.npz").is_file()

    def write(self, name: str, **arrays: Any) -> None:
        """Arrays under a name, complete or not at all."""
        self._begin()
        with replacing(self.path / f"{name}.npz") as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    def _begin(self) -> None:
        """The key comes with the first result, so that a refused calculation leaves no folder."""
        if not (self.path / KEY).exists():
            write_json(self.path / KEY, self.key)

    def read(self, name: str) -> dict[str, np.ndarray]:
        """The arrays that were written under a name."""
        with np.load(self.path / f"{name}.npz", allow_pickle=False) as content:
            return {key: content[key] for key in content.files}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def digest_of(key: dict[str, Any]) -> str:
    """Hash of a key, 12 hexadecimal digits: the name of its folder."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def structures_digest(frames: Sequence[Frame]) -> str:
    """Hash of structures and labels, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for frame in frames:
        atoms = frame.atoms
        for array in (
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            atoms.get_masses(),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr((frame.energy, frame.config_type, frame.charge, frame.spin)).encode())
        for label in (frame.forces, frame.stress):
            if label is not None:
                digest.update(np.ascontiguousarray(label, dtype=float).tobytes())
    return digest.hexdigest()[:16]
