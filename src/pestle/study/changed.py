"""Runs of a study that were gone on with by hand, with other settings than their cell has."""

from __future__ import annotations

from pathlib import Path

from pestle.errors import PestleError
from pestle.files import read_json
from pestle.records.study import FileStamp


def changes_of(run: Path) -> list[str]:
    """Settings of a run that were changed when it was resumed, as its manifest says.

    Args:
        run: its folder.
    """
    try:
        changes = read_json(run / "manifest.json").get("changes") or []
    except PestleError:
        return []
    return list(dict.fromkeys(str(change["setting"]) for change in changes))


def stamp_of(run: Path) -> FileStamp | None:
    """Size and time of the settings of a run, which every resumed run writes anew; none where there
    are no settings, or other ones than it began with.

    Args:
        run: its folder.
    """
    try:
        found = (run / "run.yaml").stat()
    except OSError:
        return None
    return None if changes_of(run) else FileStamp(size=found.st_size, changed=found.st_mtime_ns)


def is_changed(run: Path, stamp: FileStamp | None) -> bool:
    """Whether a run has other settings now. Its manifest is only read where its settings were
    written since, so that 10,000 runs are seen through at once.

    Args:
        run: its folder.
        stamp: of its settings when it ended.
    """
    try:
        found = (run / "run.yaml").stat()
    except OSError:
        return False
    if stamp is not None and (stamp.size, stamp.changed) == (found.st_size, found.st_mtime_ns):
        return False
    return bool(changes_of(run))
