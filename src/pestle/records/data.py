"""The data of a run in its manifest: files, content of the splits, and findings of the checks."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pestle.records.base import Figure, Part
from pestle.records.parts import File
from pestle.wording import count


class Range(Part):
    """Smallest, middle and largest of some values.

    Attributes:
        min, median, max: in the unit of the values.
    """

    min: int | float
    median: float
    max: int | float


class Ranges(Part):
    """Ranges of the labels and structures of a split; null if unknown.

    Attributes:
        energy_per_atom_eV: energies (eV/atom).
        force_max_eV_per_A, force_rms_eV_per_A: largest and RMS force on an atom (eV/Å).
        stress_max_eV_per_A3: largest component of the stress (eV/Å³).
        nearest_distance_A: smallest distance between two atoms (Å).
    """

    energy_per_atom_eV: Range | None = None
    force_max_eV_per_A: Figure = None
    force_rms_eV_per_A: Figure = None
    stress_max_eV_per_A3: Figure = None
    nearest_distance_A: Figure = None


class SplitSummary(Part):
    """Content of a split of the data.

    Attributes:
        n_frames: number of frames.
        n_isolated_atoms: number of isolated atoms among them.
        n_atoms: number of atoms in a frame, without isolated atoms.
        elements: symbol → number of atoms.
        config_types, heads: name → number of frames.
        labels: energy, forces, stress → number of frames with this label.
        labels_of_isolated_atoms: the same for the isolated atoms among them; earlier versions left
            it out.
        periodicity: `0D` to `3D` → number of frames.
        ranges: ranges of labels and distances.
        isolated_atoms: symbol → energy (eV).
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"labels_of_isolated_atoms"})

    n_frames: int
    n_isolated_atoms: int = 0
    n_atoms: Range | None = None
    elements: dict[str, int] = Field(default_factory=dict)
    config_types: dict[str, int] = Field(default_factory=dict)
    heads: dict[str, int] = Field(default_factory=dict)
    labels: dict[str, int] = Field(default_factory=dict)
    labels_of_isolated_atoms: dict[str, int] | None = None
    periodicity: dict[str, int] = Field(default_factory=dict)
    ranges: Ranges = Ranges()
    isolated_atoms: dict[str, Figure] = Field(default_factory=dict)

    @property
    def labels_in_words(self) -> str:
        """Numbers of labels, those of isolated atoms apart: `energy 60, forces 60; isolated atoms:
        energy 4`; `none` without labels.
        """
        alone = self.labels_of_isolated_atoms or {}
        others = {name: n - alone.get(name, 0) for name, n in self.labels.items()}
        text = ", ".join(f"{name} {count(n)}" for name, n in others.items() if n) or "none"
        of_atoms = ", ".join(f"{name} {count(n)}" for name, n in alone.items() if n)
        return f"{text}; isolated atoms: {of_atoms}" if of_atoms else text


class DataFinding(Part):
    """A fault of the data, or information about them.

    Attributes:
        severity: error, warning or note.
        code: stable name of the kind of finding.
        message: one line with numbers.
        frames: the first affected frames.
        n_frames: number of affected frames.
        fix: what to do about it.
    """

    severity: str
    code: str
    message: str
    frames: tuple[str, ...] = ()
    n_frames: int = 0
    fix: str = ""


class Subset(Part):
    """A part of the training frames that is trained on.

    Attributes:
        n_frames: number of frames, without isolated atoms.
        n_given: number of training frames from which they were drawn.
        seed: seed of the draw.
    """

    n_frames: int
    n_given: int
    seed: int


class DataFacts(Part):
    """The data of a run.

    Attributes:
        files: split → its files.
        held_out: whether the validation frames are a seeded fraction of the training frames.
        subset: part of the training frames that is trained on; left out for all of them.
        keys: split → label → key under which it was found → number of frames.
        dispersion: whether the labels include dispersion: included, none, unknown.
        dispersion_removed: correction that was subtracted from the labels; empty for none.
        summary: split → its content.
        findings: findings of the checks.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"subset"})

    files: dict[str, tuple[File, ...]] = Field(default_factory=dict)
    held_out: bool = False
    subset: Subset | None = None
    keys: dict[str, dict[str, dict[str, int]]] = Field(default_factory=dict)
    dispersion: str = "unknown"
    dispersion_removed: str = ""
    summary: dict[str, SplitSummary] = Field(default_factory=dict)
    findings: tuple[DataFinding, ...] = ()
