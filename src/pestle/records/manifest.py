"""manifest.json: what a run was made of, what was decided and why, and what came out.

The file is written before the first update and again whenever more is known; a part that is not
known yet is null.
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
    """Least, middle and largest of some values.

    Attributes:
        min, median, max: in the unit of the values.
    """

    min: int | float
    median: float
    max: int | float


class Ranges(Part):
    """Ranges of the labels and structures of a split; null where nothing is known.

    Attributes:
        energy_per_atom_eV: energies (eV/atom).
        force_max_eV_per_A, force_rms_eV_per_A: of the force on an atom (eV/Å).
        stress_max_eV_per_A3: largest component (eV/Å³).
        nearest_distance_A: between two atoms (Å).
    """

    energy_per_atom_eV: Range | None = None
    force_max_eV_per_A: Figure = None
    force_rms_eV_per_A: Figure = None
    stress_max_eV_per_A3: Figure = None
    nearest_distance_A: Figure = None


class SplitSummary(Part):
    """What is in a split of the data.

    Attributes:
        n_frames: how many frames.
        n_isolated_atoms: how many of them are isolated atoms.
        n_atoms: atoms of a frame, isolated atoms left out.
        elements: symbol → atoms.
        config_types, heads: name → frames.
        labels: energy, forces, stress → frames that have the label.
        periodicity: `0D` to `3D` → frames.
        ranges: of labels and distances.
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
    """A fault of the data, or something worth knowing.

    Attributes:
        severity: error, warning or note.
        code: stable name of the kind of finding.
        message: one line, numbers included.
        frames: the first frames concerned.
        n_frames: how many in all.
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
        subset: the part of the training frames that is trained on; left out for all of them.
        keys: split → label → key under which it was found → frames.
        dispersion: whether the labels hold dispersion: included, none, unknown.
        dispersion_removed: the correction that was taken from them; empty for none.
        summary: split → what is in it.
        findings: of the checks.
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
    """Parameters of a part of the architecture.

    Attributes:
        trainable: how many are trained.
        total: how many there are.
    """

    trainable: int
    total: int


class MethodChoice(Part):
    """Why `auto` chose the method.

    Attributes:
        method: its name.
        reasons: one clause each.
        would_change: what would lead to another method.
        rank: of low-rank updates, where the data speak for one.
    """

    method: str
    reasons: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    rank: int | None = None


class MethodFacts(Part):
    """How the foundation was adapted.

    Attributes:
        name: of the method.
        notes: what it did to the model, one line each.
        blocks: part of the architecture → its parameters.
        n_trainable: trained parameters in all.
        n_parameters: parameters in all; with LoRA those of the adapters included.
        heads: of the adapted model.
        choice: why `auto` chose the method; null where the user named one.
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
        labels: where they come from, in words.
        n_train: structures that are trained on.
        n_valid: structures that are held out.
        notes: how they were selected, one line each.
        files: of the pools.
    """

    labels: str
    n_train: int
    n_valid: int
    notes: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


class DriftFacts(Part):
    """Whether drift is watched.

    Attributes:
        n_frames: structures on which it is.
    """

    n_frames: int


class Setting(Part):
    """A setting and why it has its value.

    Attributes:
        value: what the run used.
        reason: default, asked for, or what spoke for it.
        unit: of the value; empty for none.
    """

    value: Value = None
    reason: str = ""
    unit: str = ""


class Change(Part):
    """What a resumed run changed of length, patience and rate.

    Attributes:
        when: in UTC.
        after_update: updates done by then.
        setting: its name.
        before: its value before.
        to: its value since.
    """

    when: str
    after_update: int
    setting: str
    before: Value = Field(default=None, validation_alias="from", serialization_alias="from")
    to: Value = None


class Hardware(Part):
    """What the run ran on.

    Attributes:
        cpu: its name.
        cores: that the machine has.
        threads: that the run used.
        device: where the network was computed.
        gpu: its name; null without one.
        system: operating system.
    """

    cpu: str = ""
    cores: int | None = None
    threads: int | None = None
    device: str = ""
    gpu: str | None = None
    system: str = ""


class Plan(Part):
    """How long a run is, and what it will take.

    Attributes:
        steps_per_epoch: updates of an epoch.
        epochs: at most.
        steps: updates at most.
        updates_between_evaluations: how often the model is evaluated.
        passes: over target and replay structures, in words.
        ends_earlier: when training ends before its last update, in words.
        seconds_per_step: that an update takes (s).
        estimated_seconds: that the run takes at most (s).
        memory_mib: peak memory (MiB); null where the system does not say.
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
        losses: loss over its start after some updates; null where it was no number.
        safe: whether none has risen.
        updates: how many were made.
    """

    rate: float
    losses: tuple[Figure, ...] = ()
    safe: bool
    updates: int


class RateProbe(Part):
    """What the probe of learning rates found.

    Attributes:
        rate: for the training, below the largest safe one.
        trials: every rate tried, the largest first.
        updates: updates at the largest safe rate.
        seconds: how long all of it took (s).
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
    """The zero-step gate: largest deviations of the adapted model from its foundation before the
    first update, the shift of the E0s taken off.

    Attributes:
        n_frames: on which it was measured.
        energy: of energies (eV/atom).
        forces: of force components (eV/Å).
        stress: of stress components (eV/Å³).
    """

    n_frames: int
    energy: float
    forces: float
    stress: float

    def joined(self, other: Gate) -> Gate:
        """The larger deviations of two gates."""
        return Gate(
            n_frames=self.n_frames + other.n_frames,
            energy=max(self.energy, other.energy),
            forces=max(self.forces, other.forces),
            stress=max(self.stress, other.stress),
        )


class Preparation(Part):
    """Times of a run.

    Attributes:
        preparation_s: before the first update (s).
    """

    preparation_s: float | None = None


class KeptModel(Part):
    """A model by which the cost of the forgetting budget is told.

    Attributes:
        epoch: of the model.
        value: of the figure that chooses the model to keep.
    """

    epoch: int | float
    value: Figure = None


class DriftBudget(Part):
    """What the forgetting budget (`train.max_drift`) cost.

    Attributes:
        max_drift: the budget (meV/Å).
        metric: the figure that chooses the model to keep.
        within: the best model within the budget.
        without: the best of all.
    """

    max_drift: float
    metric: str
    within: KeptModel
    without: KeptModel


class TrainingFacts(Part):
    """How training went.

    Attributes:
        best_epoch, best_update: of the model that is kept.
        best_metric: the figure that chooses it.
        best_value: its value there.
        epochs: done in all.
        steps: updates done in all.
        seconds: spent training (s), interruptions left out.
        cpu_seconds: the same as processor time, of all threads (s); left out in runs that an
            earlier version began.
        finished: why it ended.
        kept: `best`, or `last` in a run without validation frames.
        convergence: null where nothing can tell.
        drift_budget: null where no budget was given.
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
    """What a run was made of, and what came out.

    Attributes:
        pestle: version that made the run.
        command: that began it.
        started: in UTC.
        finished: in UTC; null while it runs.
        status: planned, running, interrupted, aborted or finished.
        status_detail: why it is that, in words.
        versions: of Python, Pestle and the packages that can change a result.
        data: files, labels, findings.
        foundation: where the model comes from.
        reference_energies: E0s in use.
        reference_energies_compared: method → what it would have given.
        method: how the foundation was adapted.
        replay: the replay set; null without replay.
        drift: null where drift is not watched.
        interpolation: how far the kept model is from the starting model; null without
            `keep.interpolate`.
        settings: dotted name → value and reason.
        warnings: one line each.
        changes: that resumed runs made.
        hardware: of the last command that went on with it.
        plan: length, time and memory.
        rate_probe: learning rates that were tried; null where `train.lr` is a number.
        gate: of the first update; null for random weights.
        timings: of the preparation.
        training: how it went; left out before it has ended.
        errors: set (test, valid, train, replay) → model → group → errors of the kept model and of
            the foundation; left out before they are known.
        ending: how the run ended; left out while it has not.
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
        """Format 1, which has no number.

        Early runs kept the checks' whole summary, and said in their ending whether the foundation
        was trusted, which counts for nothing.
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
        """The manifest of a run folder.

        Raises:
            Damaged: it is not what was written.
            PestleError: a newer Pestle wrote it.
        """
        try:
            return cls.read(path)
        except Damaged as error:
            fix = f"Write it anew: pestle finetune --resume -o {path.parent}"
            raise Damaged(error.what, where=error.where, fix=fix) from error

    @property
    def of_training(self) -> TrainingFacts:
        """How training went, once it has ended."""
        assert self.training is not None
        return self.training

    def value(self, setting: str) -> Value:
        """The value of a setting; `None` where it is not recorded."""
        found = self.settings.get(setting)
        return None if found is None else found.value

    def with_entries(self, **entries: Any) -> Manifest:
        """The same with other entries; names and types are checked."""
        return Manifest.model_validate(dict(self) | entries)


class ManifestFile:
    """manifest.json of a run that goes on; always written whole, with a hash.

    Attributes:
        path: the file.
        record: what it says, or will say once it is written.
    """

    def __init__(self, path: Path, record: Manifest) -> None:
        self.path, self.record = path, record

    def set(self, **entries: Any) -> None:
        """Replace entries; the file is not written yet."""
        self.record = self.record.with_entries(**entries)

    def update(self, **entries: Any) -> None:
        """Replace entries and write the file."""
        self.set(**entries)
        self.record.write(self.path, sealed=True)
