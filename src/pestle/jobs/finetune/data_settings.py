"""Data files in the settings of a run.

This module imports no torch, because studies use it for thousands of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pestle.energies.methods import METHODS
from pestle.foundations import catalogue
from pestle.foundations.replay_catalogue import is_file_pool
from pestle.settings.data import DataSettings
from pestle.settings.run import RunSettings

#: Settings of the training subset. A run without a subset does not depend on them, so runs of
#: earlier versions without these settings can be resumed.
OF_SUBSET = ("train_fraction", "train_count", "subset_seed")


def data_files(data: DataSettings) -> list[tuple[str, Sequence[str]]]:
    """Return split and patterns of files for each split that has files.

    Args:
        data: settings of the data.
    """
    return [
        (n, p) for n, p in (("train", data.train), ("valid", data.valid), ("test", data.test)) if p
    ]


def with_absolute_paths(settings: RunSettings, base: Path | None = None) -> RunSettings:
    """Return the settings with absolute paths, so that run.yaml works from any folder.

    Args:
        settings: settings of a run.
        base: folder to which paths are relative; by default the current folder.
    """
    settings = settings.model_copy(deep=True)

    def absolute(name: str) -> str:
        path = Path(name).expanduser()
        return str((path if base is None else base / path).absolute())

    def pool(name: str) -> str:
        return absolute(name) if is_file_pool(name) else name

    for name, patterns in data_files(settings.data):
        setattr(settings.data, name, [absolute(pattern) for pattern in patterns])
    settings.replay.pool = [pool(name) for name in settings.replay.pool]
    settings.drift.structures = [pool(name) for name in settings.drift.structures]
    # A name in the catalogue has priority over a file with this name, as in loading.
    local = absolute(settings.foundation)
    known = not settings.foundation or catalogue.find(settings.foundation) is not None
    if not known and Path(local).exists():
        settings.foundation = local
    if settings.parent.run is not None:
        settings.parent.run = absolute(settings.parent.run)
    if isinstance(settings.e0s, str) and settings.e0s not in (*METHODS, "auto"):
        settings.e0s = absolute(settings.e0s)
    return settings
