"""verdict.json: the findings of the protocols about a model, and the conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from pestle.records.base import Figure, Part, Record
from pestle.settings.scope import Scope
from pestle.wording import listed

Level = Literal["pass", "concern", "fail"]
#: From good to bad.
LEVELS: tuple[Level, ...] = ("pass", "concern", "fail")

_STRICT = ConfigDict(extra="forbid")


def worst(levels: Sequence[Level]) -> Level:
    """Return the worst of some levels; `pass` if there are none."""
    return max(levels, key=LEVELS.index, default="pass")


def limited(level: Level, use: str) -> str:
    """Return what a finding says about a use, so that it agrees with the lines of the verdict.

    Args:
        level: level of the finding, concern or fail.
        use: the use, as a noun phrase.
    """
    return f"{'not' if level == 'fail' else 'with care'} for {use}"


@dataclass(frozen=True, config=_STRICT)
class Finding:
    """One judgement of a protocol on the candidate.

    Attributes:
        protocol: name of the protocol.
        level: pass, concern or fail.
        quantity: what was measured, in a few words.
        value: the figure; `None` if it is not a finite number.
        unit: unit of the figure.
        limit: the threshold in words: "concern from 1.1, fail from 1.5".
        sentence: what was found, and what the user can do about it.
    """

    protocol: str
    level: Level
    quantity: str
    value: Figure
    unit: str
    limit: str
    sentence: str


@dataclass(frozen=True, config=_STRICT)
class CountedFinding(Finding):
    """A finding in a verdict.

    Attributes:
        counts: whether the verdict depends on it; otherwise the scope does not need its protocol.
    """

    counts: bool


@dataclass(frozen=True, config=_STRICT)
class NotTested:
    """A protocol that was not run, or that could not judge anything.

    Attributes:
        protocol: name of the protocol.
        needed: whether the scope needs it.
        why: why it was not run, as a clause.
        how: what to type to run it; empty if that is not possible.
    """

    protocol: str
    needed: bool
    why: str
    how: str


class TestedProtocol(Part):
    """What was calculated for a protocol.

    Attributes:
        level: worst level of its findings; `None` without findings.
        needed: whether the scope needs it.
        metrics: SHA-256 of the metrics.json that was judged; `None` for the zero-step gate, which
            the run itself measured.
        extent: how much was calculated, in words.
        full_extent: how much the full settings would calculate; `None` if that is the same.
        first_look: whether less was calculated than the full settings would.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"metrics"})

    level: Level | None
    needed: bool
    metrics: str | None = None
    extent: str = ""
    full_extent: str | None = None
    first_look: bool = False


class Use(Part):
    """What a model may be used for, and what to do next: the lines that end a verdict.

    Attributes:
        fit: uses whose tests it passed.
        with_care: uses whose tests it passed with a concern.
        unfit: uses of which it failed a test.
        untested: uses of which a test is missing, with the missing ones if others were made.
        nothing: why it is of no use yet, as a clause; empty if it is of use.
        first_look: those of `fit` and `with_care` that rest on a first look.
        next: what to do next, as a command or a sentence.
    """

    fit: tuple[str, ...] = ()
    with_care: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()
    nothing: str = ""
    first_look: tuple[str, ...] = ()
    next: str = ""

    @property
    def use_for(self) -> str:
        """`energies along torsions; after a first look only: molecular dynamics; with care: …`."""
        if self.nothing:
            return f"nothing yet: {self.nothing}"
        parts = []
        for uses, how in ((self.fit, ""), (self.with_care, "with care")):
            full = [use for use in uses if use not in self.first_look]
            looks = [use for use in uses if use in self.first_look]
            if full:
                parts.append(f"{how}: {listed(full)}" if how else listed(full))
            if looks:
                only = f"{how}, after a first look only" if how else "after a first look only"
                parts.append(f"{only}: {listed(looks)}")
        return "; ".join(parts) or "nothing that was tested"

    @property
    def not_for(self) -> str:
        """`structure search (failed); not tested: torsions`."""
        parts = [f"{listed(self.unfit)} (failed)"] if self.unfit else []
        parts += [f"not tested: {listed(self.untested)}"] if self.untested else []
        return "; ".join(parts) or "nothing that was tested"

    @property
    def lines(self) -> dict[str, str]:
        """What the line is about → what it says."""
        return {"Use it for": self.use_for, "Not for": self.not_for, "Next": self.next}


class Verdict(Record):
    """Whether a model is fit for its purpose.

    Attributes:
        verdict: pass, concern, fail, or incomplete if something that the scope needs was not
            tested.
        sentence: the verdict in words.
        scope: purpose of the model: narrow (configurations like those of its data) or broad.
        candidate: name of the model that is judged, as in tables.
        weights: SHA-256 of its weights if it is the model of a run, which changes them when it goes
            on. Empty otherwise, and in verdicts of older versions.
        baseline: name of its foundation; `None` if there is none to compare with.
        others: names of further models that were compared.
        labels: model → label for readers.
        quick: whether the settings were those of a first look.
        thresholds: file of thresholds, or `shipped`.
        command: the command.
        findings: those that count first, of these the worst first.
        protocols: protocol → what was calculated.
        not_tested: protocols that were not run, the needed ones first.
        use: the lines that end the verdict; left out of verdicts of older versions.
        versions: versions of Python, Pestle and the packages that can change a result.
    """

    FIX: ClassVar[str] = "Write it anew with pestle qualify."
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"use"})

    format: int = 5
    verdict: Literal["pass", "concern", "fail", "incomplete"]
    sentence: str
    scope: Scope
    candidate: str
    weights: str = ""
    baseline: str | None = None
    others: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    quick: bool = False
    thresholds: str = "shipped"
    command: str = ""
    findings: tuple[CountedFinding, ...] = ()
    protocols: dict[str, TestedProtocol] = Field(default_factory=dict)
    not_tested: tuple[NotTested, ...] = ()
    use: Use | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    def is_of(self, weights: str) -> bool:
        """Return whether it judges a run's present model; `True` where that is not known.

        Args:
            weights: SHA-256 of the present weights.
        """
        return self.weights in ("", weights)

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Convert formats 1 and 2, without `use`: findings that count stood among the others.

        Format 3 has no `weights`. Up to format 4 a use of a first look was not told from others,
        and a protocol was one where `full_extent` said more."""
        findings = content.get("findings")
        if isinstance(findings, list) and all(isinstance(found, dict) for found in findings):
            content["findings"] = sorted(findings, key=lambda found: not found.get("counts", True))
        use = content.get("use")
        if isinstance(use, dict) and isinstance(use.get("first_look"), bool):
            looked = use["first_look"]
            use["first_look"] = [*use.get("fit", ()), *use.get("with_care", ())] if looked else []
        parts = content.get("protocols")
        for part in parts.values() if isinstance(parts, dict) else ():
            if isinstance(part, dict) and "first_look" not in part:
                part["first_look"] = part.get("full_extent") is not None
        return content
