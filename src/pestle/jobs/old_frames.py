"""Frames of earlier runs that a run continues, read with the settings of these runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pestle.errors import PestleError
from pestle.files import sha256
from pestle.records.continued import OldRun
from pestle.records.old_sets import old_set
from pestle.records.parts import File
from pestle.settings.data import DataSettings
from pestle.structures.frame import Frame
from pestle.structures.splits import read_splits

#: Splits that can be given as files.
SPLITS = ("train", "valid", "test")


@dataclass
class Old:
    """The frames of continued runs.

    Attributes:
        train, isolated: training frames and isolated atoms.
        valid: set → validation frames.
        test: set → test frames.
    """

    train: list[Frame] = field(default_factory=list)
    isolated: list[Frame] = field(default_factory=list)
    valid: dict[str, list[Frame]] = field(default_factory=dict)
    test: dict[str, list[Frame]] = field(default_factory=dict)

    @property
    def judged(self) -> dict[str, list[Frame]]:
        """Set → frames on which no weights were trained."""
        return {**self.test, **self.valid}


def read_old(runs: Sequence[OldRun]) -> Old:
    """Read the frames of continued runs with the settings of these runs.

    Args:
        runs: the continued runs.

    Raises:
        PestleError: a file is missing or has changed since.
    """
    found = Old()
    for run in runs:
        for file in (file for files in run.files.values() for file in files):
            require_unchanged(file, run)
        known = set(DataSettings.model_fields) - set(SPLITS)
        asked = {name: value for name, value in run.settings.items() if name in known}
        asked |= {split: [file.path for file in files] for split, files in run.files.items()}
        splits = read_splits(DataSettings.model_validate(asked))
        found.train += splits.train
        found.isolated += splits.isolated
        for split, frames, sets in (
            ("valid", splits.valid, found.valid),
            ("test", splits.test, found.test),
        ):
            if frames:
                sets[old_set(split, run.name)] = frames
    return found


def require_unchanged(file: File, run: OldRun) -> None:
    """Check that a file of a continued run has not changed.

    Args:
        file: path and SHA-256 of the file, from the manifest of the run.
        run: the run.

    Raises:
        PestleError: the file is missing or has changed.
    """
    path = Path(file.path)
    fix = (
        "Put it back as it was, or train on the new frames alone: --foundation in place of "
        "--continue."
    )
    if not path.is_file():
        raise PestleError(
            f"is gone: the run {run.name}, which is continued, was trained with it",
            where=str(path),
            fix=fix,
        )
    if sha256(path) != file.sha256:
        raise PestleError(
            f"has changed since the run {run.name}, which is continued, was trained with it",
            where=str(path),
            fix=fix,
        )
