"""`pestle label`: label structures with a model; a stopped command continues where it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.files import OneOrMore, each_of, sha256
from pestle.foundations import load_foundation
from pestle.foundations.devices import DTYPES, find_device
from pestle.labels.calculators import CalculatorLabeller, current_folder_importable
from pestle.labels.labelling import FoundationLabeller, Labelled, Labeller
from pestle.labels.partial import PartialLabels
from pestle.labels.resumable import label_resumably, stoppable
from pestle.labels.signatures import labels_by, structure_id
from pestle.locks import locked_file
from pestle.records.folder import require_file
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from pestle.views import Shown
from pestle.wording import counted

SUFFIXES = (".xyz", ".extxyz")


@dataclass(frozen=True, repr=False)
class LabelledFile(Shown):
    """A file of labelled structures, and how it was made.

    Attributes:
        out: the file.
        sha256: SHA-256 of the file.
        labelled_by: id of the model or calculator.
        frames: number of structures in the file.
        made: number of structures that were labelled now.
        resumed: number that an earlier, stopped command labelled.
        reused: number that had labels of this model already.
        replaced: number that had other labels.
        with_energy, with_forces, with_stress: number that have the label now.
        finished_before: whether all structures were labelled before.
    """

    out: str
    sha256: str
    labelled_by: str
    frames: int
    made: int
    resumed: int
    reused: int
    replaced: int
    with_energy: int
    with_forces: int
    with_stress: int
    finished_before: bool

    @classmethod
    def of(
        cls, labelled: Labelled, out: Path, *, resumed: int, finished_before: bool
    ) -> LabelledFile:
        """Count the structures of a labelling.

        Args:
            labelled: the labelled structures.
            out: the file that was written.
            resumed: number of structures that an earlier, stopped command labelled.
            finished_before: whether all structures were labelled before.
        """
        frames = labelled.frames
        return cls(
            out=str(out),
            sha256=sha256(out),
            labelled_by=labelled.labelled_by,
            frames=len(frames),
            made=labelled.made,
            resumed=resumed,
            reused=labelled.reused - resumed,
            replaced=labelled.replaced,
            with_energy=sum(frame.energy is not None for frame in frames),
            with_forces=sum(frame.forces is not None for frame in frames),
            with_stress=sum(frame.stress is not None for frame in frames),
            finished_before=finished_before,
        )

    def __repr__(self) -> str:
        return f"<LabelledFile {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """Return the file and the counts as one line."""
        if self.finished_before:
            return [f"{self.out}: already labelled ({counted(self.frames, 'structure')})"]
        parts = [f"{self.made} labelled now"]
        for number, text in (
            (self.resumed, "labelled before the stop"),
            (self.reused, "had these labels already"),
            (self.replaced, "had other labels, which were replaced"),
        ):
            parts += [f"{number} {text}"] * bool(number)
        return [f"{self.out}: {counted(self.frames, 'structure')} ({', '.join(parts)})"]

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return asdict(self)


def label(
    structures: OneOrMore,
    out: str | Path,
    *,
    model: str | None = None,
    calculator: str | None = None,
    head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
    max_edges: int | None = None,
) -> LabelledFile:
    """Write structures with the labels of a model or a calculator.

    >>> pestle.label(["broad.xyz"], "labelled.xyz", model="medium-mpa-0")

    Energies (eV) and forces (eV/Å) replace the labels that the structures had before; so do
    stresses (eV/Å³) if a structure is periodic in three directions. The entry `pestle_labels` of
    each frame names the model that made its labels, with hashes of structure and labels; frames
    with valid labels of this model are not labelled again. A stopped labelling continues when it is
    started again.

    Args:
        structures: file or glob, or several.
        out: extended XYZ file to write.
        model: run folder, model folder, `.model` file (with trust) or catalogue name.
        calculator: MODULE:NAME of an ASE calculator, instead of a model. MODULE is imported, also
            from the current folder: this runs its code.
        head: head of the model; needed only if it has several.
        trust: allow a `.model` file.
        dtype: precision of the network: float32 or float64.
        device: device for predictions: auto, cpu, cuda or cuda:N.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.

    Returns:
        The file, and how many structures were labelled.

    Raises:
        PestleError: there is a mistake in files, model or calculator; a structure cannot be
            labelled; `out` exists with other content, or another command writes it.
        LabellingStopped: Ctrl-C or SIGTERM stopped the command.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise PestleError(
            "labels are written as extended XYZ", where=str(out), fix="Name it with .xyz."
        )
    require_file(out)
    frames = read_frames(each_of(structures)).frames
    importable = current_folder_importable() if calculator else nullcontext()
    with locked_file(out), importable:
        labeller = _labeller(model, calculator, head, trust, dtype, device, max_edges)
        partial = PartialLabels(out.with_name(f"{out.name}.partial"), labeller.id)
        if out.exists():
            finished = _finished(out, frames, labeller.id)
            partial.remove()
            return LabelledFile.of(finished, out, resumed=0, finished_before=True)
        with stoppable(partial):
            labelled, resumed = label_resumably(labeller, frames, partial, "labelling")
            write_frames(out, labelled.frames)
    partial.remove()
    return LabelledFile.of(labelled, out, resumed=resumed, finished_before=False)


def _labeller(
    model: str | None,
    calculator: str | None,
    head: str | None,
    trust: bool,
    dtype: str,
    device: str,
    max_edges: int | None,
) -> Labeller:
    """Load the model or the calculator that makes the labels; check the options for it."""
    if (model is None) == (calculator is None):
        raise PestleError(
            "labels come from a model or from a calculator: name one of them",
            fix="Give --model M or --calculator MODULE:NAME.",
        )
    if calculator is not None:
        used = {
            "head": head is not None,
            "trust": trust,
            "dtype": dtype != "float64",
            "device": device != "auto",
            "max_edges": max_edges is not None,
        }
        if any(used.values()):
            raise PestleError(
                "is for models; it has no effect on a calculator",
                where=next(name for name in used if used[name]),
            )
        return CalculatorLabeller(calculator)
    if dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="dtype", fix="float32 or float64.")
    if max_edges is not None and max_edges < 1:
        raise PestleError(f"{max_edges} is not a number of edges", where="max_edges")
    place = find_device(device)
    foundation = load_foundation(str(model), trust=trust)
    fingerprint = foundation.fingerprint()
    if foundation.dtype != DTYPES[dtype]:
        foundation = foundation.with_dtype(DTYPES[dtype])
    return FoundationLabeller(
        foundation.to(place), head, fingerprint=fingerprint, max_edges=max_edges
    )


def _finished(out: Path, frames: Sequence[Frame], labeller: str) -> Labelled:
    """Return the frames of `out` if they are these structures with labels of this labeller.

    Raises:
        PestleError: the file has other content.
    """
    found = read_frames([str(out)]).frames
    same = [structure_id(frame) for frame in found] == [structure_id(frame) for frame in frames]
    if not same or any(labels_by(labeller, frame) is None for frame in found):
        raise PestleError(
            "exists already and does not hold "
            + ("this model's labels" if same else "the same structures in the same order"),
            where=str(out),
            fix="Remove it or choose another name with -o.",
        )
    return Labelled(found, labeller, reused=len(found), made=0, replaced=0)
