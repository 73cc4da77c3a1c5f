"""Pickled models that were trusted once: the safe form of each, by the SHA-256 of its file.

Loading a pickle runs code that its author put in it. That happens once for a file: when a user says
--trust in the command, or when Pestle itself downloads the file of a catalogue entry. Its safe form
(architecture.json and weights.safetensors, no code in either) is kept, and from then on a file with
this hash is loaded from there, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pestle.errors import PestleError
from pestle.files import CannotWrite, sha256, write_json
from pestle.foundations import backends, catalogue, safe_files
from pestle.foundations.interface import Foundation, Provenance
from pestle.progress import say, warn

RECORD = "record.json"


class Record(BaseModel):
    """What is remembered of a trusted file.

    Attributes:
        format: of this record.
        sha256: of the pickled file.
        architecture_sha256: of architecture.json of the safe form, which holds that of the weights.
        entry: name of the catalogue entry whose file it is; `None` for other files.
        source: what allowed it to be unpickled, as words.
        when: in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    sha256: str
    architecture_sha256: str
    entry: str | None
    source: str
    when: str


def store() -> Path:
    """The folder that holds a folder for each trusted file, called by its hash."""
    return catalogue.cache_home() / "pestle" / "trusted"


def hash_of(entry: str) -> str:
    """SHA-256 remembered of a catalogue entry's file; empty where none is.

    Raises:
        PestleError: a record cannot be read.
    """
    return next((record.sha256 for record in _records() if record.entry == entry), "")


def recall(digest: str, provenance: Provenance) -> Foundation | None:
    """The model of a file with this SHA-256 from its safe form; `None` where it is not trusted yet.

    Raises:
        PestleError: what is kept of it cannot be read or is damaged.
    """
    folder = store() / digest
    if not (folder / RECORD).is_file():
        return None
    record = _read(folder)
    architecture = folder / safe_files.ARCHITECTURE
    if not architecture.is_file() or sha256(architecture) != record.architecture_sha256:
        raise PestleError("it is damaged", where=str(architecture), fix=_forget(folder))
    try:
        model = replace(safe_files.read(folder), provenance=provenance)
    except PestleError as error:
        raise PestleError(error.what, where=error.where, fix=_forget(folder)) from error
    return backends.backend(model.backend, where=str(folder)).rebuild(model)


def unpickle(
    backend: backends.Backend,
    path: Path,
    digest: str,
    provenance: Provenance,
    *,
    source: str,
    entry: str | None = None,
) -> Foundation:
    """Load a pickled file, which runs its author's code, and keep its safe form.

    Args:
        backend: reads it.
        path: the file.
        digest: its SHA-256.
        provenance: of the model.
        source: what allows it, as words.
        entry: name of the catalogue entry whose file it is.

    Raises:
        PestleError: it cannot be read, or holds no model.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise PestleError("it changed while it was read", where=str(path))
    say(f"unpickling {path}, SHA-256 {digest}: {source}")
    model = backend.unpickle(content, path, provenance)
    folder = store() / digest
    try:
        model.save(folder)
        record = Record(
            sha256=digest,
            architecture_sha256=sha256(folder / safe_files.ARCHITECTURE),
            entry=entry,
            source=source,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        # The record last: without it the folder counts for nothing.
        write_json(folder / RECORD, record.model_dump())
    except (OSError, CannotWrite) as error:
        warn(f"its safe form cannot be kept, so trust will be asked for again ({error})")
    return model


def _records() -> Iterator[Record]:
    for path in sorted(store().glob(f"*/{RECORD}")):
        yield _read(path.parent)


def _read(folder: Path) -> Record:
    path = folder / RECORD
    try:
        record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise PestleError(
            "it cannot be read as the record of a trusted model",
            where=str(path),
            fix=_forget(folder),
        ) from error
    if record.sha256 != folder.name:
        raise PestleError("it is of another file", where=str(path), fix=_forget(folder))
    return record


def _forget(folder: Path) -> str:
    return f"Delete {folder}, and the model must be trusted again."
