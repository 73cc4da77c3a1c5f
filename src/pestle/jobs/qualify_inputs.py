"""What each protocol of a qualification is given: the user's files, or those of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pestle.errors import PestleError
from pestle.jobs.probe import read_sets
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build, read_run_file
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.splits import read_splits

Sets = Mapping[str, Sequence[Frame]]


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
    """Structures by what they are for; every set may be empty.

    Attributes:
        held_out: labelled, for errors; molecular dynamics starts from them.
        structures: molecular dynamics starts from these instead.
        paths, torsions, broad: for neb, torsion and forgetting.
        isolated: labelled single atoms.
    """

    held_out: Sets = field(default_factory=dict)
    structures: Sets = field(default_factory=dict)
    paths: Sets = field(default_factory=dict)
    torsions: Sets = field(default_factory=dict)
    broad: Sets = field(default_factory=dict)
    isolated: Sequence[Frame] = ()

    def of(self, protocol: str) -> Sets:
        """The sets that a protocol is given."""
        if protocol in ("md", "rdf"):
            return self.structures or self.held_out
        if protocol == "atoms":
            return {"isolated atoms": self.isolated} if self.isolated else {}
        by_name = {
            "errors": self.held_out,
            "neb": self.paths,
            "torsion": self.torsions,
            "forgetting": self.broad,
        }
        return by_name.get(protocol, {})

    def lacking(self, protocol: str) -> tuple[str, str] | None:
        """Why a protocol cannot be run on what was given, and what would help; `None` if it can."""
        if self.of(protocol):
            return None
        lacks = {
            "errors": ("no held-out frames were given", "--data FILES"),
            "md": ("there is no structure to start from", "--structures FILES"),
            "rdf": ("there is no structure to start from", "--structures FILES"),
            "neb": ("no reaction path was given", "--path FILE"),
            "torsion": ("no scan was given", "--torsions FILES"),
            "atoms": (
                "the data hold no labelled isolated atoms",
                "--data with IsolatedAtom frames",
            ),
        }
        return lacks.get(protocol)


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


def read_given(
    run: OfRun | None,
    *,
    data: Sequence[str],
    structures: Sequence[str],
    path: Sequence[str],
    torsions: Sequence[str],
    broad: Sequence[str],
) -> Given:
    """Read the user's files; where no held-out data are given, those of the run are taken.

    Raises:
        PestleError: a file cannot be read.
    """
    sets = read_sets(data)
    isolated = list(run.isolated) if run else []
    held_out: dict[str, list[Frame]] = {}
    for name, frames in sets.items():
        rest, atoms = split_isolated_atoms(frames)
        isolated += atoms
        if rest:
            held_out[name] = rest
    if not sets and run is not None:
        held_out = run.held_out
    return Given(
        held_out=held_out,
        structures=read_sets(structures),
        paths=read_sets(path),
        torsions=read_sets(torsions),
        broad=read_sets(broad),
        isolated=isolated,
    )
