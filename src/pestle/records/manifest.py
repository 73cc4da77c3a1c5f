"""manifest.json: the input of a run, its decisions with reasons, and its results.

The file is written before the first update and again whenever there is more information. A part
that is not known yet is null.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pestle.files import Damaged
from pestle.metrics import FrameErrors
from pestle.records.base import Figure, Part, Record
from pestle.records.ending import Ending
from pestle.records.parts import (
    AtomicEnergies,
    Convergence,
    File,
    FoundationFacts,
    InterpolationFacts,
    Value,
)

Status = Literal["planned", "running", "interrupted", "aborted", "finished"]


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
        periodicity: `0D` to `3D` → number of frames.
        ranges: ranges of labels and distances.
        isolated_atoms: symbol → energy (eV).
    """

    n_frames: int
    n_isolated_atoms: int = 0
    n_atoms: Range | None = None
    elements: dict[str, int] = Field(default_factory=dict)
    config_types: dict[str, int] = Field(default_factory=dict)
    heads: dict[str, int] = Field(default_factory=dict)
    labels: dict[str, int] = Field(default_factory=dict)
    periodicity: dict[str, int] = Field(default_factory=dict)
    ranges: Ranges = Ranges()
    isolated_atoms: dict[str, Figure] = Field(default_factory=dict)


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
        n_frames: how many, isolated atoms left out.
        n_given: training frames from which they were drawn.
        seed: of the draw.
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


class Block(Part):
    """Number of parameters in a part of the architecture.

    Attributes:
        trainable: number of trained parameters.
        total: number of all parameters.
    """

    trainable: int
    total: int


class MethodChoice(Part):
    """Reasons why `auto` chose the method.

    Attributes:
        method: name of the method.
        reasons: one clause each.
        would_change: what would lead to another method.
        rank: rank of low-rank updates, if the data need a particular one.
    """

    method: str
    reasons: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    rank: int | None = None


class MethodFacts(Part):
    """How the foundation was adapted.

    Attributes:
        name: name of the method.
        notes: changes of the model, one line each.
        blocks: part of the architecture → number of its parameters.
        n_trainable: number of trained parameters.
        n_parameters: number of all parameters, including those of adapters.
        heads: heads of the adapted model.
        choice: reasons why `auto` chose the method; null if the user named one.
    """

    name: str
    notes: tuple[str, ...] = ()
    blocks: dict[str, Block] = Field(default_factory=dict)
    n_trainable: int = 0
    n_parameters: int = 0
    heads: tuple[str, ...] = ()
    choice: MethodChoice | None = None


class ReplayFacts(Part):
    """The replay set of a run.

    Attributes:
        labels: source of the labels, in words.
        n_train: number of structures for training.
        n_valid: number of held-out structures.
        notes: how they were selected, one line each.
        files: files of the pools.
    """

    labels: str
    n_train: int
    n_valid: int
    notes: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


class DriftFacts(Part):
    """The structures on which drift is measured.

    Attributes:
        n_frames: number of structures.
    """

    n_frames: int


class Setting(Part):
    """A setting with the reason for its value.

    Attributes:
        value: value in the run.
        reason: default, asked for, or the reason of an automatic choice.
        unit: unit of the value; empty for none.
    """

    value: Value = None
    reason: str = ""
    unit: str = ""


class Change(Part):
    """A change of length, patience or learning rate in a resumed run.

    Attributes:
        when: time in UTC.
        after_update: number of updates done before.
        setting: name of the setting.
        before: value before the change.
        to: value after the change.
    """

    when: str
    after_update: int
    setting: str
    before: Value = Field(default=None, validation_alias="from", serialization_alias="from")
    to: Value = None


class Hardware(Part):
    """The machine of the run.

    Attributes:
        cpu: name of the processor.
        cores: number of cores of the machine.
        threads: number of threads of the run.
        device: device of the network.
        gpu: name of the GPU; null without one.
        system: operating system.
    """

    cpu: str = ""
    cores: int | None = None
    threads: int | None = None
    device: str = ""
    gpu: str | None = None
    system: str = ""


class Plan(Part):
    """Length of a run and estimates of time and memory.

    Attributes:
        steps_per_epoch: number of updates in an epoch.
        epochs: largest number of epochs.
        steps: largest number of updates.
        updates_between_evaluations: number of updates between evaluations.
        passes: passes over target and replay structures, in words.
        ends_earlier: when training ends before its last update, in words.
        seconds_per_step: time of an update (s).
        estimated_seconds: longest time of the run (s).
        memory_mib: peak memory (MiB); null if the system does not tell it.
    """

    steps_per_epoch: int
    epochs: int | float
    steps: int
    updates_between_evaluations: int = 0
    passes: str = ""
    ends_earlier: str = ""
    seconds_per_step: float
    estimated_seconds: float
    memory_mib: Figure = None


class Trial(Part):
    """One learning rate that was tried.

    Attributes:
        rate: the learning rate.
        losses: loss after some numbers of updates, divided by its start; null if it was not finite.
        safe: whether none of them has risen.
        updates: number of updates.
    """

    rate: float
    losses: tuple[Figure, ...] = ()
    safe: bool
    updates: int


class RateProbe(Part):
    """Result of the probe of learning rates.

    Attributes:
        rate: learning rate for the training, below the largest safe one.
        trials: all learning rates that were tried, the largest first.
        updates: number of updates at the largest safe rate.
        seconds: time of the probe (s).
    """

    rate: float
    trials: tuple[Trial, ...] = ()
    updates: int
    seconds: float

    @property
    def largest(self) -> float:
        """The largest safe rate."""
        return self.trials[-1].rate


class Gate(Part):
    """The zero-step gate: largest differences between adapted model and foundation before training.
    The change of the E0s is subtracted.

    Attributes:
        n_frames: number of frames that were compared.
        energy: largest difference of energies (eV/atom).
        forces: largest difference of force components (eV/Å).
        stress: largest difference of stress components (eV/Å³).
    """

    n_frames: int
    energy: float
    forces: float
    stress: float

    def joined(self, other: Gate) -> Gate:
        """Return the larger differences of two gates."""
        return Gate(
            n_frames=self.n_frames + other.n_frames,
            energy=max(self.energy, other.energy),
            forces=max(self.forces, other.forces),
            stress=max(self.stress, other.stress),
        )


class Preparation(Part):
    """Times of a run.

    Attributes:
        preparation_s: time before the first update (s).
    """

    preparation_s: float | None = None


class KeptModel(Part):
    """A model that shows the cost of the limit on drift.

    Attributes:
        epoch: epoch of the model.
        value: value of the figure that chooses the model to keep.
    """

    epoch: int | float
    value: Figure = None


class DriftBudget(Part):
    """Cost of the limit on drift (`train.max_drift`).

    Attributes:
        max_drift: the limit (meV/Å).
        metric: the figure that chooses the model to keep.
        within: the best model within the limit.
        without: the best of all models.
    """

    max_drift: float
    metric: str
    within: KeptModel
    without: KeptModel


class TrainingFacts(Part):
    """Results of the training.

    Attributes:
        best_epoch, best_update: epoch and update of the kept model.
        best_metric: the figure that chooses it.
        best_value: value of this figure.
        epochs: number of epochs done.
        steps: number of updates done.
        seconds: training time (s), without interruptions.
        cpu_seconds: processor time of all threads (s), without interruptions; left out in runs that
            an earlier version began.
        finished: why training ended.
        kept: `best`, or `last` in a run without validation frames.
        convergence: null if it cannot be judged.
        drift_budget: null if no limit was given.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"cpu_seconds"})

    best_epoch: int | float
    best_update: int | None = None
    best_metric: str
    best_value: Figure = None
    epochs: int | float
    steps: int
    seconds: float
    cpu_seconds: Figure = None
    finished: str = ""
    kept: Literal["best", "last"] = "best"
    convergence: Convergence | None = None
    drift_budget: DriftBudget | None = None


#: Set → model → group → errors.
SetsOfErrors = dict[str, dict[str, dict[str, FrameErrors]]]


class Manifest(Record):
    """The input of a run and its results.

    Attributes:
        pestle: version that made the run.
        command: command that started it.
        started: time in UTC.
        finished: time in UTC; null while it runs.
        status: planned, running, interrupted, aborted or finished.
        status_detail: reason for the status, in words.
        versions: versions of Python, Pestle and the packages that can change a result.
        data: files, labels and findings.
        foundation: the foundation of the model.
        reference_energies: E0s of the run.
        reference_energies_compared: method → E0s that it would have given.
        method: how the foundation was adapted.
        replay: the replay set; null without replay.
        drift: null if drift is not measured.
        interpolation: place of the kept model between start and trained model; null without
            `keep.interpolate`.
        settings: dotted name → value and reason.
        warnings: one line each.
        changes: changes that resumed runs made.
        hardware: machine of the last command that continued the run.
        plan: length, time and memory.
        rate_probe: learning rates that were tried; null if `train.lr` is a number.
        gate: result before the first update; null for random weights.
        timings: time of the preparation.
        training: results of the training; left out before it has ended.
        errors: set (test, valid, train, replay) → model → group → errors of the kept model and of
            the foundation; left out before they are known.
        ending: how the run ended; left out before that.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"training", "errors", "ending"})

    format: int = 2
    pestle: str
    command: str = ""
    started: str
    finished: str | None = None
    status: Status = "planned"
    status_detail: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    data: DataFacts
    foundation: FoundationFacts
    reference_energies: AtomicEnergies
    reference_energies_compared: dict[str, AtomicEnergies] = Field(default_factory=dict)
    method: MethodFacts
    replay: ReplayFacts | None = None
    drift: DriftFacts | None = None
    interpolation: InterpolationFacts | None = None
    settings: dict[str, Setting] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    hardware: Hardware | None = None
    plan: Plan | None = None
    rate_probe: RateProbe | None = None
    gate: Gate | None = None
    timings: Preparation | None = None
    training: TrainingFacts | None = None
    errors: SetsOfErrors | None = None
    ending: Ending | None = None

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Convert format 1, which has no number.

        Early runs stored the whole summary of the checks, and in their ending whether the
        foundation was trusted, which is not used.
        """
        data, ending = content.get("data"), content.get("ending")
        if isinstance(data, dict) and isinstance(data.get("summary"), dict):
            splits = data["summary"].get("splits", data["summary"])
            content["data"] = data | {"summary": splits}
        if isinstance(ending, dict):
            content["ending"] = {name: said for name, said in ending.items() if name != "trust"}
        return content

    @classmethod
    def of_run(cls, path: Path) -> Manifest:
        """Read the manifest of a run folder.

        Args:
            path: the file manifest.json.

        Raises:
            Damaged: the file is missing, or its content has changed.
            PestleError: a newer version wrote it.
        """
        try:
            return cls.read(path)
        except Damaged as error:
            fix = f"Write it anew: pestle finetune --resume -o {path.parent}"
            raise Damaged(error.what, where=error.where, fix=fix) from error

    @property
    def of_training(self) -> TrainingFacts:
        """Results of the training, which must have ended."""
        assert self.training is not None
        return self.training

    def value(self, setting: str) -> Value:
        """Return the value of a setting; `None` if it is not recorded."""
        found = self.settings.get(setting)
        return None if found is None else found.value

    def with_entries(self, **entries: Any) -> Manifest:
        """Return the manifest with some entries replaced; names and types are checked."""
        return Manifest.model_validate(dict(self) | entries)


class ManifestFile:
    """The file manifest.json of a running run; always written completely, with a hash.

    Attributes:
        path: the file.
        record: its content, as it is or will be written.
    """

    def __init__(self, path: Path, record: Manifest) -> None:
        self.path, self.record = path, record

    def set(self, **entries: Any) -> None:
        """Replace entries without writing the file."""
        self.record = self.record.with_entries(**entries)

    def update(self, **entries: Any) -> None:
        """Replace entries and write the file."""
        self.set(**entries)
        self.record.write(self.path, sealed=True)
