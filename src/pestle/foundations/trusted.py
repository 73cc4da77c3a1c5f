"""Keep the safe form of pickled models that were trusted once, by the SHA-256 of the file.

Loading a pickle runs code that its author put in it. This happens only once for a file: when the
user gives --trust in the command, or when Pestle itself downloads the file of a catalogue entry.
The safe form of the model (architecture.json and weights.safetensors, both without code) is kept.
From then on it is loaded in place of every file with this hash, and nothing is unpickled.

Of a file that Pestle itself writes on this machine, the hash alone is kept: nobody else can be the
author of its bytes, and it needs no trust.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pestle.errors import PestleError
from pestle.files import CannotWrite, sha256, write_json
from pestle.foundations import backends, catalogue, safe_files
from pestle.foundations.interface import Foundation, Provenance
from pestle.progress import detail, say, warn

RECORD = "record.json"


class Record(BaseModel):
    """This record describes a trusted file.

    Attributes:
        format: number of this record's format.
        sha256: SHA-256 of the pickled file.
        architecture_sha256: SHA-256 of architecture.json of the safe form, which in turn holds that
            of the weights.
        entry: name of the catalogue entry that the file belongs to; `None` for other files.
        source: what allowed to unpickle the file, as words.
        when: time in UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    sha256: str
    architecture_sha256: str
    entry: str | None
    source: str
    when: str


def store() -> Path:
    """Return the folder that has one subfolder per trusted file, named by the file's SHA-256."""
    return catalogue.cache_home() / "pestle" / "trusted"


def hash_of(entry: str) -> str:
    """Return the SHA-256 of the trusted file of a catalogue entry.

    Args:
        entry: name of the catalogue entry.

    Returns:
        The SHA-256; empty if no file of this entry was trusted.

    Raises:
        PestleError: a record cannot be read.
    """
    records = (_read(path.parent) for path in sorted(store().glob(f"*/{RECORD}")))
    return next((record.sha256 for record in records if record.entry == entry), "")


def is_trusted(digest: str) -> bool:
    """Return whether a file with this SHA-256 was trusted on this machine."""
    return (store() / digest / RECORD).is_file()


class Own(BaseModel):
    """This record describes a pickled file that Pestle wrote.

    Attributes:
        format: number of this record's format.
        sha256: SHA-256 of the file.
        when: time in UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    sha256: str
    when: str


def _own(digest: str) -> Path:
    return catalogue.cache_home() / "pestle" / "written" / f"{digest}.json"


def remember_own(content: memoryview) -> None:
    """Keep the SHA-256 of a pickled file that Pestle writes.

    Args:
        content: the bytes that are written, not those of a file, which somebody may exchange.
    """
    digest = hashlib.sha256(content).hexdigest()
    record = Own(sha256=digest, when=datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        write_json(_own(digest), record.model_dump())
    except (OSError, CannotWrite) as error:
        detail(f"the exported model will need trust once, as its hash cannot be kept ({error})")


def is_own(digest: str) -> bool:
    """Return whether Pestle wrote the file with this SHA-256 on this machine, for this user."""
    try:
        return Own.model_validate_json(_own(digest).read_bytes()).sha256 == digest
    except (OSError, ValidationError):
        return False


def recall(digest: str, provenance: Provenance) -> Foundation | None:
    """Load the safe form of a trusted file.

    Args:
        digest: SHA-256 of the pickled file.
        provenance: where the model comes from; it replaces the one that was kept.

    Returns:
        The model; `None` if no file with this SHA-256 was trusted.

    Raises:
        PestleError: the safe form or its record cannot be read or is damaged.
    """
    if not is_trusted(digest):
        return None
    folder = store() / digest
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
        backend: the backend that reads the file.
        path: the file.
        digest: SHA-256 that the file had when it was trusted.
        provenance: where the model comes from; the model keeps it.
        source: what allows to unpickle the file, as words.
        entry: name of the catalogue entry that the file belongs to.

    Raises:
        PestleError: the file changed, cannot be read, or holds no model.
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
        # The record is written last: a folder without it is ignored.
        write_json(folder / RECORD, record.model_dump())
    except (OSError, CannotWrite) as error:
        warn(f"its safe form cannot be kept, so trust will be asked for again ({error})")
    return model


def _read(folder: Path) -> Record:
    """Read the record in a folder and check that it belongs there."""
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
    """Say how to have a model trusted again."""
    return f"Delete {shlex.quote(str(folder))}, and the model must be trusted again."
