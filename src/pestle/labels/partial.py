"""The file with the labels made so far, from which a stopped labelling continues.

It lies beside the result. Its first line is JSON with the id of the labeller, followed by one line
per batch. A batch is stored completely or not at all. A continued run therefore makes the same
batches as an uninterrupted one and, on a CPU, exactly the same labels. (Sums on a GPU have no fixed
order.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pestle.errors import PestleError
from pestle.files import cannot_write
from pestle.labels.signatures import Labels
from pestle.locks import require_there

FORMAT = 1


class PartialLabels:
    """The file of an unfinished labelling; created with the first batch.

    Args:
        path: the file.
        labeller: id of the labeller.

    Attributes:
        labels: structure id → labels in the file, each checked with its hash.
        note: why the file, or the end of it, cannot be used; empty if all of it can be used.

    Raises:
        PestleError: the file exists and cannot be read.
    """

    def __init__(self, path: Path, labeller: str) -> None:
        self.path, self.labeller = path, labeller
        self.labels: dict[str, Labels] = {}
        self.note = ""
        self._kept = 0  # bytes at the beginning of the file that hold whole batches
        self._stream: BinaryIO | None = None
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise PestleError(f"it cannot be read ({error})", where=str(self.path)) from error
        lines = content.split(b"\n")[:-1]  # what follows the last line break is a torn record
        if not lines:
            return
        if lines[0] != self._header():
            self.note = f"{self.path} holds labels of another model; they are not used"
            return
        self._kept = len(lines[0]) + 1
        for line in lines[1:]:
            batch = _batch(line)
            if batch is None:
                self.note = f"{self.path} is damaged; what follows the damage is not used"
                return
            self.labels |= batch
            self._kept += len(line) + 1

    def _header(self) -> bytes:
        return json.dumps({"format": FORMAT, "labelled_by": self.labeller}).encode()

    def append(self, batch: Mapping[str, Labels]) -> None:
        """Append a batch; it is handed to the system when this returns.

        Args:
            batch: structure id → labels.

        Raises:
            CannotWrite: the file cannot be written, or the disk is full.
        """
        records = [
            [
                structure,
                labels.digest,
                labels.energy,
                None if labels.forces is None else labels.forces.tolist(),
                None if labels.stress is None else labels.stress.tolist(),
            ]
            for structure, labels in batch.items()
        ]
        require_there(self.path)
        content = json.dumps(records).encode() + b"\n"
        try:
            if self._stream is None:
                self._stream = self._open()
            self._stream.write(content)
            self._stream.flush()
        except OSError as error:
            raise cannot_write(self.path, error, size=len(content)) from error

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._kept:
            stream: BinaryIO = self.path.open("wb")
            stream.write(self._header() + b"\n")
            return stream
        stream = self.path.open("r+b")
        stream.truncate(self._kept)
        stream.seek(self._kept)
        return stream

    @property
    def begun(self) -> bool:
        """Whether the file contains labels from which a run can continue."""
        return bool(self.labels) or self._stream is not None

    def close(self) -> None:
        """Close the file."""
        # Every batch was flushed; if that failed, closing fails again.
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()

    def remove(self) -> None:
        """Remove the file, because the labelling is finished."""
        self.close()
        self.path.unlink(missing_ok=True)


def _batch(line: bytes) -> dict[str, Labels] | None:
    """Return the labels of a line by structure id; `None` if one does not match its hash."""
    batch = {}
    try:
        for structure, digest, energy, forces, stress in json.loads(line):
            labels = Labels(
                energy,
                None if forces is None else np.array(forces, dtype=float),
                None if stress is None else np.array(stress, dtype=float),
            )
            if labels.digest != digest:
                return None
            batch[str(structure)] = labels
    except (TypeError, ValueError):
        return None
    return batch
