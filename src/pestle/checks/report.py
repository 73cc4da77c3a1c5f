"""Findings of the preflight checks and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pestle.checks.unit_tables import Units
from pestle.metrics import FrameErrors
from pestle.structures.frame import Frame
from pestle.views import Shown, Table
from pestle.wording import counted

# Frames named in one finding; the full number is always given beside them.
MAX_FRAMES_NAMED = 10

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass
class CheckFinding:
    """One thing that is wrong with the data, or worth knowing.

    Attributes:
        severity: `error` (training on this would be wrong), `warning` or `note`.
        code: stable name of the kind of finding, e.g. `overlapping-atoms`.
        message: one line for a chemist, numbers included.
        frames: `Frame.where` of the first frames concerned.
        n_frames: how many frames are concerned in all.
        fix: what to do about it.
    """

    severity: str
    code: str
    message: str
    frames: list[str] = field(default_factory=list)
    n_frames: int = 0
    fix: str = ""


@dataclass(frozen=True)
class AgainstFoundation:
    """A foundation beside the data.

    Attributes:
        name, head: of the foundation.
        licence: of its weights; a fine-tuned model inherits it.
        level_of_theory: that its labels were calculated at.
        level_of_labels: what the files say of theirs; empty where they say nothing.
        dispersion, dispersion_of_labels: whether its and the data's energies hold it: included,
            none or unknown.
        covered, not_covered: elements of the data that it knows, and those that it does not.
        offset: symbol → eV that was added for each atom, so that energies of another level of
            theory can be compared; empty where nothing could be compared.
        offset_undetermined: elements of which the compositions determine sums only, and
            no isolated atom more.
        errors: `all` and every config_type → errors less that offset, without isolated atoms; empty
            where the checks found errors in the data.
    """

    name: str
    head: str
    licence: str
    level_of_theory: str
    level_of_labels: str
    dispersion: str
    dispersion_of_labels: str
    covered: tuple[str, ...]
    not_covered: tuple[str, ...]
    offset: Mapping[str, float]
    offset_undetermined: tuple[str, ...]
    errors: Mapping[str, FrameErrors]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        plain = {name: value for name, value in vars(self).items() if name != "errors"}
        return plain | {"errors": {name: e.model_dump() for name, e in self.errors.items()}}


@dataclass(repr=False)
class CheckReport(Shown):
    """What is in the data (`summary`, JSON-able) and what is wrong with it (`findings`).

    `units` are those that the labels are in, as far as the evidence says; `foundation` is what was
    found of the foundation, where one was given.
    """

    summary: dict[str, Any]
    findings: list[CheckFinding]
    units: Units = field(default_factory=Units)
    foundation: AgainstFoundation | None = None

    @property
    def errors(self) -> list[CheckFinding]:
        return [f for f in self.findings if f.severity == "error"]

    @property
    def warnings(self) -> list[CheckFinding]:
        return [f for f in self.findings if f.severity == "warning"]

    @property
    def notes(self) -> list[CheckFinding]:
        return [f for f in self.findings if f.severity == "note"]

    def __repr__(self) -> str:
        return f"<CheckReport: {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """The counts of frames and findings."""
        frames = ", ".join(
            counted(summary["n_frames"] - summary["n_isolated_atoms"], f"{split} frame")
            for split, summary in self.summary["splits"].items()
        )
        counts = {"error": self.errors, "warning": self.warnings, "note": self.notes}
        words = [counted(len(found), word) for word, found in counts.items()]
        return [f"{frames}; {', '.join(words)}"]

    def tables(self) -> list[Table]:
        """The findings, errors first."""
        rows = [
            [f.severity, f.code, f"{f.message} {f.fix}".rstrip(), ", ".join(f.frames[:3])]
            for f in sorted_findings(self.findings)
        ]
        return [Table("findings", ["severity", "kind", "finding", "frames"], rows)] if rows else []

    def to_json(self) -> dict[str, Any]:
        """The report as plain dictionaries, lists, numbers and strings."""
        plain = {"summary": self.summary, "findings": [asdict(f) for f in self.findings]}
        if self.foundation is None:
            return plain
        return plain | {"foundation": self.foundation.to_json()}


def finding(
    severity: str, code: str, message: str, frames: Sequence[Frame] = (), *, fix: str = ""
) -> CheckFinding:
    """A finding about these frames, of which the first are named."""
    where = [frame.where for frame in frames[:MAX_FRAMES_NAMED]]
    return CheckFinding(severity, code, " ".join(message.split()), where, len(frames), fix)


def sorted_findings(findings: Sequence[CheckFinding]) -> list[CheckFinding]:
    """Return errors first, then warnings, then notes; the order within each is kept."""
    return sorted(findings, key=lambda f: _ORDER[f.severity])


def count_of(frames: Sequence[object], total: int) -> str:
    """`3 of 60 frames`."""
    return f"{len(frames)} of {counted(total, 'frame')}"


def group_name(frames: Sequence[Frame]) -> str:
    """Return a name for a set of frames: their config types, or else their files, with counts."""
    for key in ("config_type", "source"):
        counts: dict[str, int] = {}
        for frame in frames:
            name = str(getattr(frame, key))
            counts[name] = counts.get(name, 0) + 1
        if key == "config_type" and set(counts) <= {"Default"} and any(f.source for f in frames):
            continue
        shown = sorted(counts.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} ({n})" for name, n in shown[:4])
        return text + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
    return ""
