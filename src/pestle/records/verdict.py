"""verdict.json: what the protocols found of a model, and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from pestle.records.base import Figure, Part, Record

Level = Literal["pass", "concern", "fail"]
#: From good to bad.
LEVELS: tuple[Level, ...] = ("pass", "concern", "fail")
Scope = Literal["narrow", "broad"]

_STRICT = ConfigDict(extra="forbid")


def worst(levels: Sequence[Level]) -> Level:
    """The worst of some levels; `pass` of none."""
    return max(levels, key=LEVELS.index, default="pass")


@dataclass(frozen=True, config=_STRICT)
class Finding:
    """One judgement of a protocol on the candidate.

    Attributes:
        protocol: its name.
        level: pass, concern or fail.
        quantity: what was measured, in a few words.
        value: the figure; `None` where it is not finite or not a number.
        unit: of the figure.
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
        counts: whether the verdict rests on it; else its protocol was run without need.
    """

    counts: bool


@dataclass(frozen=True, config=_STRICT)
class NotTested:
    """A protocol that was not run, or that could judge nothing.

    Attributes:
        protocol: its name.
        needed: whether the scope needs it.
        why: why it was not run, as a clause.
        how: what would be typed to run it; empty where nothing would.
    """

    protocol: str
    needed: bool
    why: str
    how: str


class TestedProtocol(Part):
    """What was calculated of a protocol.

    Attributes:
        level: the worst of its findings; `None` where it has none.
        needed: whether the scope needs it.
        metrics: SHA-256 of the metrics.json that was judged; `None` of the zero-step gate, which
            the run itself measured.
        extent: how much was calculated, in words.
        full_extent: how much the full settings would; `None` where that is the same.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"metrics"})

    level: Level | None
    needed: bool
    metrics: str | None = None
    extent: str = ""
    full_extent: str | None = None


class Verdict(Record):
    """Whether a model is fit for what it will be used for.

    Attributes:
        verdict: pass, concern, fail, or incomplete where something that the scope needs was not
            tested.
        sentence: the same in words.
        scope: what the model is for: narrow (configurations like those of its data) or broad.
        candidate: the model that is judged, as tables call it.
        baseline: its foundation; `None` where there is none to compare with.
        others: further models that were compared.
        labels: model → what a reader is told.
        quick: whether the settings were those of a first look.
        thresholds: file of thresholds, or `shipped`.
        command: what was typed.
        findings: the worst first.
        protocols: protocol → what was calculated of it.
        not_tested: what was not, the needed ones first.
        versions: of Python, Pestle and the packages that can change a result.
    """

    FIX: ClassVar[str] = "Write it anew with pestle qualify."

    format: int = 2
    verdict: Literal["pass", "concern", "fail", "incomplete"]
    sentence: str
    scope: Scope
    candidate: str
    baseline: str | None = None
    others: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    quick: bool = False
    thresholds: str = "shipped"
    command: str = ""
    findings: tuple[CountedFinding, ...] = ()
    protocols: dict[str, TestedProtocol] = Field(default_factory=dict)
    not_tested: tuple[NotTested, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Format 1 is the same without a number."""
        return content
