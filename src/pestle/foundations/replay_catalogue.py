"""List the published replay sets of all backends. This file imports neither torch nor a backend."""

from __future__ import annotations

from pathlib import Path

from pestle.foundations.mace import replay_sets


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
