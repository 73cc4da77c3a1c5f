"""Names of replay pools: published sets of every backend, and the generator. Imports neither torch
nor any backend."""

from __future__ import annotations

from pathlib import Path

from pestle.foundations.mace import replay_sets

#: The pool that needs no file: structures made for the elements of the data.
GENERATED = "generated"


def is_file_pool(name: str) -> bool:
    """Whether a pool is files, and not `generated` or a published set."""
    return name != GENERATED and find_published(name) is None


def published_sets() -> tuple[replay_sets.ReplayEntry, ...]:
    """Return every published set: name, level of theory, licence, address, file in the cache."""
    return replay_sets.ENTRIES


def find_published(name: str) -> replay_sets.ReplayEntry | None:
    """Return the published set of this name, or `None` if there is none."""
    return next((entry for entry in published_sets() if entry.name == name), None)


def fetch_published(entry: replay_sets.ReplayEntry) -> Path:
    """Return the file of a set, and download it first if it is not in the cache.

    Args:
        entry: the set.

    Raises:
        PestleError: the file could not be downloaded; the error says which file to put where.
    """
    return replay_sets.fetch(entry)
