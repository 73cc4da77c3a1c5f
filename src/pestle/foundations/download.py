"""Fetching catalogue models into the cache."""

from __future__ import annotations

from pathlib import Path

from pestle.errors import PestleError
from pestle.foundations.backends import backend, function_at
from pestle.foundations.catalogue import Entry
from pestle.progress import console, say


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
    own = backend(entry.backend).download
    try:
        if own:
            function_at(own)(entry)
        else:
            _download(entry.url, path)
    except (OSError, RuntimeError) as error:
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
    """To a temporary name first, then renamed."""
    import torch.hub

    say(f"downloading {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path), progress=console.is_terminal)
