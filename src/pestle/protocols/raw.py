"""Raw results of a protocol for one potential: stored on disk and reused if nothing has changed.

They are a folder with the files of the protocol and `key.json`, which lists everything that the
results depend on. The folder is named after this key, so that results of other settings are never
changed. Every result has a hash. A damaged result is removed and calculated again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pestle.errors import PestleError
from pestle.files import Damaged, read_json, read_sealed, write_json, write_sealed
from pestle.locks import is_left_over
from pestle.progress import warn
from pestle.protocols.arrays import FORMAT, Arrays
from pestle.records.base import Record
from pestle.structures.frame import Frame

A = TypeVar("A", bound=Arrays)
B = TypeVar("B", bound=Arrays)
Facts = TypeVar("Facts", bound=Record)

KEY, DONE, TIMINGS = "key.json", "done.json", "timings.json"


class TimeSpent(Record):
    """Time spent on raw results.

    Attributes:
        seconds: the time, s.
    """

    seconds: float


class RawFolder:
    """The folder with the results of one protocol for one potential.

    Args:
        path: the folder; created when something is written.
        key: plain data that the results depend on: potential, settings, structures.

    Raises:
        PestleError: the folder contains something else.
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
        """Return the key in the folder.

        If it is damaged, the folder name, which is its hash, identifies it.
        """
        try:
            return read_json(self.path / KEY)
        except Damaged:
            if self.path.name != digest_of(self.key):
                return None
            write_json(self.path / KEY, self.key, sealed=True)
            return self.key

    def _remove_damaged(self) -> None:
        """Remove damaged results and the mark of completion, so that they are calculated again."""
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
            warn(f"{path} is damaged and is calculated again")
            path.unlink()
        (self.path / DONE).unlink(missing_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the calculation is complete."""
        return (self.path / DONE).is_file()

    def finish(self, facts: Record | None = None) -> None:
        """Mark the calculation as complete.

        Args:
            facts: what is known of all results together, for `facts`.
        """
        self._begin()
        write_json(self.path / DONE, {} if facts is None else facts.to_json(), sealed=True)

    def facts(self, kind: type[Facts]) -> Facts:
        """Return the facts that were given to `finish`.

        Args:
            kind: their class.

        Raises:
            Damaged: the file has changed since, or does not hold such facts.
            PestleError: a newer version wrote it.
        """
        return kind.read(self.path / DONE)

    def has(self, name: str) -> bool:
        """Whether a result of this name exists."""
        return (self.path / f"{name}.npz").is_file()

    def write(self, name: str, result: Arrays) -> None:
        """Write a result under a name, completely or not at all."""
        self._begin()
        buffer = io.BytesIO()
        content: dict[str, Any] = result.to_arrays() | {FORMAT: result.PRESENT}
        np.savez_compressed(buffer, **content)
        write_sealed(self.path / f"{name}.npz", buffer.getbuffer())

    def _begin(self) -> None:
        """Write the key with the first result, so that a refused calculation leaves no folder."""
        if not (self.path / KEY).exists():
            write_json(self.path / KEY, self.key, sealed=True)

    @property
    def seconds(self) -> float:
        """The time spent on the results, s, as reported to `spent`; 0 if it is unknown.

        It has its own file, because a repeated calculation gives the same results but other times.
        """
        try:
            return TimeSpent.read(self.path / TIMINGS).seconds
        except Damaged:
            return 0.0

    def spent(self, seconds: float) -> None:
        """Add time in seconds to `seconds`."""
        TimeSpent(seconds=self.seconds + seconds).write(self.path / TIMINGS)

    def read(self, name: str, kind: type[A]) -> A:
        """Return the result that was written under a name.

        Args:
            name: name of the result.
            kind: its class.

        Raises:
            Damaged: the file has changed since, or does not hold such a result.
            PestleError: a newer version wrote it.
        """
        return kind.of(self._stored(name), str(self.path / f"{name}.npz"))

    def read_either(self, name: str, first: type[A], second: type[B]) -> A | B:
        """Return the result that was written under a name, if it may be of two classes.

        Args:
            name: name of the result.
            first: class that the result has if the file holds all its required entries.
            second: class that it has otherwise.

        Raises:
            Damaged, PestleError: as for `read`.
        """
        stored, where = self._stored(name), str(self.path / f"{name}.npz")
        return second.of(stored, where) if first.lacks(stored) else first.of(stored, where)

    def _stored(self, name: str) -> dict[str, np.ndarray]:
        content = io.BytesIO(read_sealed(self.path / f"{name}.npz"))
        with np.load(content, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}


def digest_of(key: dict[str, Any]) -> str:
    """Return the hash of a key, 12 hexadecimal digits, which is the name of its folder."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def structures_digest(frames: Sequence[Frame]) -> str:
    """Return a hash of structures and labels, 16 hexadecimal digits."""
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


def set_digest(frames: Sequence[Frame]) -> str:
    """Hash of a set of structures and labels, whatever their order; 16 hexadecimal digits."""
    every = sorted(structures_digest([frame]) for frame in frames)
    return hashlib.sha256("".join(every).encode()).hexdigest()[:16]
