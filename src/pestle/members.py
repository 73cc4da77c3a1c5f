"""Folders of members: runs that differ by their seed alone, as `pestle finetune --seeds N` makes
them.
"""

from __future__ import annotations

import re
from pathlib import Path


def member_name(seed: int) -> str:
    """Return the name of a member's run folder."""
    return f"seed-{seed}"


def members_of(folder: Path) -> list[Path]:
    """Return the run folders of the members in a folder, by seed.

    Args:
        folder: of any kind.

    Returns:
        Nothing if the folder is not of members; a run folder holds its own files and no members.
    """
    if not folder.is_dir() or (folder / "run.yaml").is_file():
        return []
    found = {
        int(name[1]): path
        for path in folder.iterdir()
        if (name := re.fullmatch(r"seed-(\d+)", path.name)) and (path / "run.yaml").is_file()
    }
    return [found[seed] for seed in sorted(found)]
