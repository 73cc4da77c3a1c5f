"""Structures for each protocol of a qualification: the user's files, or the data of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import chemical_symbols

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.jobs.old_frames import read_old
from pestle.jobs.probe_inputs import read_sets
from pestle.protocols.base import Sets
from pestle.protocols.declaration import HELD_OUT, ISOLATED_ATOMS, Declaration
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.records.results import Making
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build, read_run_file
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.splits import read_splits

#: An E0 and the energy of an isolated atom that differ by less are the same, eV.
SAME_ATOM = 1e-3


@dataclass(frozen=True)
class OfRun:
    """The run that made a model.

    Attributes:
        folder: the run folder.
        settings, manifest: its settings and its manifest.
        held_out: set → frames that were not trained on.
        isolated: isolated atoms of the data.
    """

    folder: Path
    settings: RunSettings
    manifest: Manifest
    held_out: dict[str, list[Frame]]
    isolated: list[Frame]

    @property
    def making(self) -> Making:
        """How the run made its model."""
        method, e0s = method_of(self.settings), self.manifest.reference_energies.e0s
        labelled = {
            chemical_symbols[int(f.numbers[0])]: f.energy
            for f in self.isolated
            if f.energy is not None
        }
        shared = [abs(e0s[s] - energy) for s, energy in labelled.items() if s in e0s]
        return Making(
            from_scratch=method.from_scratch,
            replays=method.replays,
            e0s_are_isolated=bool(shared) and max(shared) < SAME_ATOM,
            atom_repeats=self.settings.data.isolated_atom_repeats or 0,
        )


@dataclass(frozen=True)
class Given:
    """Structures by input; inputs without structures are left out.

    Attributes:
        sets: name of the input → sets.
        typed: inputs for which the user named files.
    """

    sets: Mapping[str, Sets]
    typed: frozenset[str]

    def of(self, declared: Declaration) -> Sets:
        """Return the sets that a protocol receives.

        Args:
            declared: the protocol.
        """
        taken = declared.takes
        while taken is not None and not self.sets.get(taken.name):
            taken = taken.otherwise
        return self.sets[taken.name] if taken is not None else {}

    def lacking(self, declared: Declaration) -> tuple[str, str] | None:
        """Explain why a protocol cannot run with these structures, and what is missing; `None`
        if it can.

        Args:
            declared: the protocol.
        """
        taken = declared.takes
        if taken is None or not taken.lacking or self.of(declared):
            return None
        return taken.lacking, taken.how


def read_run(model: str, *, with_data: bool = True) -> OfRun | None:
    """Read the run that made a model.

    The model must be a run folder or the folder `model` in it.

    Args:
        model: the model as the user typed it.
        with_data: whether held-out frames and isolated atoms are read; not needed if the user gives
            others.

    Returns:
        The run; `None` if the model is neither of these folders.

    Raises:
        PestleError: the settings or data of the run cannot be read.
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
    if manifest.continued is not None:
        held_out |= read_old(manifest.continued.runs).judged
    return OfRun(
        folder.path,
        settings,
        manifest,
        {name: frames for name, frames in held_out.items() if frames},
        splits.isolated,
    )


def read_given(run: OfRun | None, files: Mapping[str, Sequence[str]]) -> Given:
    """Read the user's files; without held-out data, use those of the run.

    Args:
        run: the run that made the model.
        files: input → files, as the user typed them.

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
