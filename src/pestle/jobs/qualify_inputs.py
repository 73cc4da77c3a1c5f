"""What each protocol of a qualification is given: the user's files, or those of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pestle.errors import PestleError
from pestle.jobs.probe import read_sets
from pestle.protocols.base import Sets
from pestle.protocols.declaration import HELD_OUT, ISOLATED_ATOMS, Declaration
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build, read_run_file
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.splits import read_splits


@dataclass(frozen=True)
class OfRun:
    """What a run folder knows: its settings, manifest, held-out frames and isolated atoms."""

    folder: Path
    settings: RunSettings
    manifest: Manifest
    held_out: dict[str, list[Frame]]
    isolated: list[Frame]


@dataclass(frozen=True)
class Given:
    """Structures by the input that they are for; inputs that hold none are left out.

    Attributes:
        sets: name of the input → sets.
        typed: inputs that the user named files for.
    """

    sets: Mapping[str, Sets]
    typed: frozenset[str]

    def of(self, declared: Declaration) -> Sets:
        """The sets that a protocol is given."""
        taken = declared.takes
        while taken is not None and not self.sets.get(taken.name):
            taken = taken.otherwise
        return self.sets[taken.name] if taken is not None else {}

    def lacking(self, declared: Declaration) -> tuple[str, str] | None:
        """Why a protocol cannot be run on what was given, and what would help; `None` if it can."""
        taken = declared.takes
        if taken is None or not taken.lacking or self.of(declared):
            return None
        return taken.lacking, taken.how


def read_run(model: str, *, with_data: bool = True) -> OfRun | None:
    """The run that a model is the result of: its folder, or the folder `model` in it; `None` if it
    is neither.

    Args:
        model: as the user typed it.
        with_data: read its held-out frames and isolated atoms; not needed where others are given.

    Raises:
        PestleError: it is one, and its settings or data cannot be read.
    """
    path = Path(model)
    folder = RunFolder(path.resolve().parent if path.resolve().name == "model" else path)
    if not (folder.settings.is_file() and folder.manifest.is_file()):
        return None
    settings: RunSettings = build(read_run_file(folder.settings), {}, where=str(folder.settings))
    manifest = Manifest.of_run(folder.manifest)
    if not with_data:
        return OfRun(folder.path, settings, manifest, {}, [])
    try:
        splits = read_splits(settings.data)
    except PestleError as error:
        raise PestleError(
            f"the data of the run cannot be read: {error.line}",
            where=model,
            fix="Give the held-out frames with --data FILES.",
        ) from error
    held_out = {"test": splits.test, "valid": splits.valid}
    return OfRun(
        folder.path,
        settings,
        manifest,
        {name: frames for name, frames in held_out.items() if frames},
        splits.isolated,
    )


def read_given(run: OfRun | None, files: Mapping[str, Sequence[str]]) -> Given:
    """Read the user's files; where no held-out data are given, those of the run are taken.

    Args:
        run: the run that the model is the result of.
        files: input → files, as typed.

    Raises:
        PestleError: a file cannot be read.
    """
    sets: dict[str, Sets] = {name: read_sets(given) for name, given in files.items()}
    isolated = list(run.isolated) if run else []
    held_out: dict[str, Sequence[Frame]] = {}
    for name, frames in sets.get(HELD_OUT.name, {}).items():
        rest, atoms = split_isolated_atoms(frames)
        isolated += atoms
        if rest:
            held_out[name] = rest
    if HELD_OUT.name not in sets and run is not None:
        held_out = dict(run.held_out)
    sets[HELD_OUT.name] = held_out
    sets[ISOLATED_ATOMS.name] = {ISOLATED_ATOMS.name: isolated} if isolated else {}
    return Given({name: found for name, found in sets.items() if found}, frozenset(files))
