"""Paths in a run file, which are relative to the folder of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pestle.energies.methods import METHODS
from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.foundations.replay_catalogue import is_file_pool

#: Folder of a run file in the working folder; its paths need no change.
HERE = Path()


def from_file(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings of a run file with paths relative to the working folder.

    Args:
        tree: content of the run file.
        folder: folder of the run file.

    Raises:
        PestleError: a path leads to a file only from the working folder, not from `folder`.
    """
    if folder == HERE:
        return dict(tree)

    def path(name: str) -> str:
        given = Path(name).expanduser()
        if not (folder / given).exists() and given.exists() and not given.is_absolute():
            raise PestleError(
                f"there is no {folder / given}: paths in a run file are relative to the file",
                where=name,
                fix=f"Write {os.path.relpath(given, folder)} there.",
            )
        return str(folder / given)

    def pool(name: str) -> str:
        return path(name) if is_file_pool(name) else name

    def foundation(name: str) -> str:
        is_path = catalogue.find(name) is None and (folder / Path(name).expanduser()).exists()
        return path(name) if is_path else name

    def e0s(name: str) -> str:
        # A table in braces may be a string, as in mace.
        is_path = name not in (*METHODS, "auto") and not name.lstrip().startswith("{")
        return path(name) if is_path else name

    changes: dict[tuple[str, ...], Callable[[str], str]] = {
        ("data", "train"): path,
        ("data", "valid"): path,
        ("data", "test"): path,
        ("replay", "pool"): pool,
        ("drift", "structures"): pool,
        ("foundation",): foundation,
        ("e0s",): e0s,
    }
    found = dict(tree)
    for (*groups, leaf), change in changes.items():
        inner = found
        for group in groups:
            if not isinstance(inner.get(group), Mapping):
                break
            inner[group] = dict(inner[group])
            inner = inner[group]
        else:
            if leaf in inner:
                inner[leaf] = _each(inner[leaf], change)
    return found


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a change to a string or to all strings of a list; validation checks the types later."""
    if isinstance(value, str):
        return change(value) if value else value
    if isinstance(value, list):
        return [change(one) if isinstance(one, str) else one for one in value]
    return value


def for_file(name: str, folder: Path) -> str:
    """Return a path for a run file.

    Args:
        name: path as typed in the working folder.
        folder: folder of the run file.
    """
    given = Path(name).expanduser()
    if folder == HERE or given.is_absolute():
        return name
    return os.path.relpath(given, folder)


def foundation_for_file(name: str, folder: Path) -> str:
    """Return a foundation for a run file: a name of the catalogue, or a path.

    Args:
        name: the foundation as typed in the working folder.
        folder: folder of the run file.
    """
    is_path = catalogue.find(name) is None and Path(name).expanduser().exists()
    return for_file(name, folder) if is_path else name
