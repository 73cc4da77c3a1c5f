"""Paths in a run file: relative to the folder of the file, whatever the working folder is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pestle.energies.methods import METHODS
from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.foundations.replay_catalogue import is_file_pool

#: Where the working folder is the file's own, paths stay as they are written.
HERE = Path()


def from_file(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A run file's settings with paths as they would be typed in the working folder.

    Args:
        tree: what the file holds.
        folder: that it lies in.

    Raises:
        PestleError: a file is only where the path would be in the working folder.
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
        # A table in braces may be text, as mace writes it.
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
    """The change made of a text, or of every text of a list; validation says what else is wrong."""
    if isinstance(value, str):
        return change(value) if value else value
    if isinstance(value, list):
        return [change(one) if isinstance(one, str) else one for one in value]
    return value


def for_file(name: str, folder: Path) -> str:
    """A path that was typed in the working folder, as a run file in another one names it."""
    given = Path(name).expanduser()
    if folder == HERE or given.is_absolute():
        return name
    return os.path.relpath(given, folder)


def foundation_for_file(name: str, folder: Path) -> str:
    """The same of a foundation, which may be a name of the catalogue."""
    is_path = catalogue.find(name) is None and Path(name).expanduser().exists()
    return for_file(name, folder) if is_path else name
