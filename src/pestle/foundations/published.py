"""Load models of the catalogue: from the cache, or downloaded if they are not there.

A published `.model` file is a pickle. It is unpickled only if its hash is the one in the catalogue,
if Pestle downloaded it in this same command, or if the user trusts the file in the cache. A file is
never loaded if its hash differs from the one in the catalogue or from the one that was trusted
before.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pestle.errors import PestleError
from pestle.files import sha256
from pestle.foundations import backends, trusted
from pestle.foundations.catalogue import Entry
from pestle.foundations.download import download
from pestle.foundations.interface import Foundation, Provenance
from pestle.locks import lock_of_file, locked_file


def load_published(entry: Entry, *, trust: bool) -> Foundation:
    """Load the model of a catalogue entry that has an address.

    Args:
        entry: the entry.
        trust: whether a file in the cache may be unpickled although its hash is not known.

    Raises:
        PestleError: the file cannot be downloaded or read, has another hash than it should have, or
            is not trusted.
    """
    path = entry.cache_file
    assert path is not None
    busy = lock_of_file(path).exists() and os.access(path.parent, os.W_OK)
    if path.is_file() and not busy:
        return _load(entry, path, trust=trust)
    # The lock is held until the hash is remembered. Otherwise a waiting command would find a file
    # whose hash is not known yet, and would refuse it.
    with locked_file(path, waiting=f"downloads {entry.name}"):
        return _load(entry, path, trust=trust)


def _load(entry: Entry, path: Path, *, trust: bool) -> Foundation:
    """Load the model, and download its file first if it is not there."""
    provenance = Provenance(
        name=entry.name,
        licence=entry.licence,
        level_of_theory=entry.level_of_theory,
        notes=(f"downloaded from {entry.url}",),
        dispersion=entry.dispersion,
    )
    backend = backends.backend(entry.backend)
    expected = entry.sha256 or (trusted.hash_of(entry.name) if backend.pickled else "")
    came = not path.is_file()
    digest = _fetch(entry, path, expected) if came else sha256(path)
    if expected and digest != expected:
        raise PestleError(
            f"its SHA-256 is {digest}, and that of {entry.name} is {expected}",
            where=str(path),
            fix=f"Delete the file, and it is downloaded anew{_replaced(entry)}.",
        )
    found = trusted.recall(digest, provenance) if backend.pickled else None
    if found is not None:
        return found
    source = _source(entry, path, digest, came=came, trust=trust) if backend.pickled else ""
    try:
        if not backend.pickled:
            return backend.load_file(path, provenance)
        return trusted.unpickle(backend, path, digest, provenance, source=source, entry=entry.name)
    except PestleError as error:
        if error.where != str(path):
            raise
        fix = "Delete the file, and it is downloaded anew."
        raise PestleError(error.what, where=error.where, fix=fix) from error


def _source(entry: Entry, path: Path, digest: str, *, came: bool, trust: bool) -> str:
    """Say what allows to unpickle the file, as words for the record of trusted files.

    Args:
        entry: the entry of the catalogue.
        path: the file.
        digest: SHA-256 of the file.
        came: whether this command downloaded the file.
        trust: whether the user trusts a file that was found there.

    Raises:
        PestleError: nothing allows it.
    """
    if entry.sha256:
        return "the hash is the one in the catalogue"
    if came:
        return f"downloaded from {entry.url} just now, taken on first use"
    if trust:
        return "trusted by its user"
    raise PestleError(
        "it was found there and not downloaded by this command, its SHA-256 "
        f"({digest}) is not known, and it is a pickled model: loading one runs code that its "
        "author put in it",
        where=str(path),
        fix="Delete the file, and it is downloaded anew; or, if you trust where it comes from, say "
        "--trust.",
    )


def _fetch(entry: Entry, path: Path, expected: str) -> str:
    """Download the file and return its SHA-256.

    Args:
        entry: the entry of the catalogue.
        path: the file to write.
        expected: the SHA-256 that it must have; empty if that is not known.
    """

    def check(_: Path, digest: str) -> None:
        if expected and digest != expected:
            raise PestleError(
                f"{entry.url} gives a file with SHA-256 {digest}, and that of {entry.name} is "
                f"{expected}; it was not kept",
                where="foundation",
                fix=f"Try again later{_replaced(entry)}.",
            )

    pickled = backends.backend(entry.backend).pickled
    fix = "; then say --trust" if pickled and not entry.sha256 else ""
    return download(entry.url, path, name=entry.name, where="foundation", check=check, fix=fix)


def _replaced(entry: Entry) -> str:
    """Say what to do if the publishers replaced the file of the model, as a clause."""
    if entry.sha256:
        flag = ", with --trust" if backends.backend(entry.backend).pickled else ""
        return (
            "; if its publishers replaced it, fetch it yourself and give the file itself as the "
            f"foundation{flag}"
        )
    folder = shlex.quote(str(trusted.store() / trusted.hash_of(entry.name)))
    return f"; if its publishers replaced it, delete {folder}, which remembers the first one"
