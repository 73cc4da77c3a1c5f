"""manifest.json: the input of a run, its decisions with reasons, and its results.

The file is written before the first update and again whenever there is more information. A part
that is not known yet is null.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pestle.files import Damaged
from pestle.metrics import FrameErrors
from pestle.records.base import Part, Record
from pestle.records.continued import Continued
from pestle.records.data import DataFacts
from pestle.records.ending import Ending
from pestle.records.method import DriftFacts, MethodFacts, ReplayFacts
from pestle.records.parts import (
    Ancestor,
    AtomicEnergies,
    FoundationFacts,
    InterpolationFacts,
    Value,
)
from pestle.records.training import Gate, Plan, Preparation, RateProbe, TrainingFacts

Status = Literal["planned", "running", "interrupted", "aborted", "finished"]


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


#: Set → model → group → errors.
SetsOfErrors = dict[str, dict[str, dict[str, FrameErrors]]]


class Manifest(Record):
    """The input of a run and its results.

    Attributes:
        pestle: version that made the run.
        run_id: hash of settings, data and foundation; a resumed run has the same.
        command: command that started it.
        started: time in UTC.
        finished: time in UTC; null while it runs.
        status: planned, running, interrupted, aborted or finished.
        status_detail: reason for the status, in words.
        versions: versions of Python, Pestle and the packages that can change a result.
        data: files, labels and findings.
        foundation: the foundation of the model.
        ancestry: the models that this one is made from, starting with the first foundation;
            `foundation` is the last of them.
        continued: the runs that are continued; null if there are only new frames.
        offer: how to train also on the frames of the run that made the foundation; empty if no run
            made it, or if that is done.
        files_not_given: which files for other programs the model cannot be written as, why, and
            what to do; empty if it can be written as all.
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

    format: int = 3
    pestle: str
    run_id: str = ""
    command: str = ""
    started: str
    finished: str | None = None
    status: Status = "planned"
    status_detail: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    data: DataFacts
    foundation: FoundationFacts
    ancestry: tuple[Ancestor, ...] = ()
    continued: Continued | None = None
    offer: str = ""
    files_not_given: str = ""
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
        """Convert formats 1, which has no number, and 2, which has no ancestors.

        Early runs stored the whole summary of the checks, and in their ending whether the
        foundation was trusted, which is not used.
        """
        foundation = content.get("foundation")
        if isinstance(foundation, dict) and "name" in foundation:
            known = {k: foundation[k] for k in ("name", "fingerprint") if k in foundation}
            content["ancestry"] = [known]
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
            fix = f"Write it anew: pestle finetune --resume -o {shlex.quote(str(path.parent))}"
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
