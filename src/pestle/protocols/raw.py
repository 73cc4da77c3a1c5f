"""Raw results of a protocol for one potential: kept on disk, reused where nothing has changed.

A folder with `key.json`, which says what the results depend on, and whatever the protocol writes
beside it. It is called after that key, so that results of other settings are never touched. Every
result carries a hash; one that is damaged is removed, and made anew like one that is not there yet.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pestle.errors import PestleError
from pestle.files import Damaged, read_json, read_sealed, write_json, write_sealed
from pestle.locks import is_left_over
from pestle.progress import say
from pestle.structures.frame import Frame

KEY, DONE, TIMINGS = "key.json", "done.json", "timings.json"


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
        there = path.is_dir() and not all(map(is_left_over, path.iterdir()))
        if there and self._stored_key() != self.key:
            raise PestleError(
                "holds something else than the results of this test",
                where=str(path),
                fix="Move it away, or choose another folder with -o.",
            )
        if there:
            self._remove_damaged()

    def _stored_key(self) -> Any:
        """The key in the folder; a damaged one can be told by the name of the folder, which is the
        hash of it."""
        try:
            return read_json(self.path / KEY)
        except Damaged:
            if self.path.name != digest_of(self.key):
                return None
            write_json(self.path / KEY, self.key, sealed=True)
            return self.key

    def _remove_damaged(self) -> None:
        """Without its note that it is complete, the folder is calculated as far as it lacks
        something."""
        damaged = []
        for path in sorted(self.path.glob("*.npz")):
            try:
                read_sealed(path)
            except Damaged:
                damaged.append(path)
        if self.finished:
            try:
                read_json(self.path / DONE)
            except Damaged:
                damaged.append(self.path / DONE)
        if not damaged:
            return
        for path in damaged:
            say(f"warning: {path} is damaged, and made anew")
            path.unlink()
        (self.path / DONE).unlink(missing_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the calculation is complete."""
        return (self.path / DONE).is_file()

    def finish(self, **facts: Any) -> None:
        """Note that it is, and what else should be known of it."""
        self._begin()
        write_json(self.path / DONE, facts, sealed=True)

    @property
    def facts(self) -> dict[str, Any]:
        """What `finish` was given.

        Raises:
            Damaged: it is not that any more.
        """
        return read_json(self.path / DONE)

    def has(self, name: str) -> bool:
        """Whether these arrays are there."""
        return (self.path / f"{name}.npz").is_file()

    def write(self, name: str, **arrays: Any) -> None:
        """Arrays under a name, complete or not at all."""
        self._begin()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_sealed(self.path / f"{name}.npz", buffer.getbuffer())

    def _begin(self) -> None:
        """The key comes with the first result, so that a refused calculation leaves no folder."""
        if not (self.path / KEY).exists():
            write_json(self.path / KEY, self.key, sealed=True)

    @property
    def seconds(self) -> float:
        """Time that was spent on the results, as far as `spent` was told. It has a file of its own:
        results are the same when they are made again, and times are not."""
        try:
            return float(read_json(self.path / TIMINGS)["seconds"])
        except (Damaged, KeyError, TypeError, ValueError):
            return 0.0

    def spent(self, seconds: float) -> None:
        """Add to `seconds`."""
        write_json(self.path / TIMINGS, {"seconds": self.seconds + seconds})

    def read(self, name: str) -> dict[str, np.ndarray]:
        """The arrays that were written under a name.

        Raises:
            Damaged: they are not those any more.
        """
        stored = io.BytesIO(read_sealed(self.path / f"{name}.npz"))
        with np.load(stored, allow_pickle=False) as content:
            return {key: content[key] for key in content.files}


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
