"""Fetching catalogue models into the cache."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from pestle.errors import PestleError
from pestle.files import replacing
from pestle.foundations.backends import backend
from pestle.foundations.catalogue import Entry
from pestle.progress import progress

#: Bytes that are read at once.
CHUNK = 1 << 20


def fetch(entry: Entry) -> Path:
    """The entry's file in the cache, downloaded if it is not there yet.

    Raises:
        PestleError: it could not be downloaded; says which file to put where.
    """
    path = entry.cache_file
    if path is None:
        raise PestleError(f"{entry.name} is embedded in Pestle and not downloaded")
    if path.is_file():
        return path
    reader = backend(entry.backend)
    try:
        if reader.download:
            reader.fetch(entry)
        else:
            _download(entry.url, path)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = error.__cause__ or error
        raise PestleError(
            f"{entry.name} is not cached and could not be downloaded ({reason})",
            where="foundation",
            fix=f"On a machine with network fetch {entry.url} and put it here as {path}.",
        ) from error
    if not path.is_file():
        raise PestleError(
            f"the download reported success but did not write {path}",
            where="foundation",
            fix=f"Fetch {entry.url} and put it there.",
        )
    return path


def _download(url: str, path: Path) -> None:
    """To a temporary name first, then renamed if it came whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with urlopen(url) as answer, replacing(path) as temporary:
        announced = int(answer.headers.get("Content-Length") or 0)
        came = 0
        with temporary.open("wb") as stream, progress(f"downloading {url}", announced or 1) as bar:
            while chunk := answer.read(CHUNK):
                stream.write(chunk)
                came += len(chunk)
                bar.to(came)
        if announced and came != announced:
            raise OSError(f"it broke off after {came:,} of {announced:,} bytes")
