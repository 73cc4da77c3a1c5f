"""The verdict: what the findings of the protocols that a scope needs come to.

No protocol run, no claim: what a scope needs and was not tested makes the verdict incomplete,
unless something that was tested failed already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pestle.records.verdict import LEVELS, Finding, NotTested, Scope, worst
from pestle.records.wording import listed

#: Scope → what a model that has passed it is fit for.
MEANING = {
    "narrow": "simulations of configurations like those of its data",
    "broad": "configurations unlike those of its data",
}
#: Protocols that a scope needs. Narrow: observables that the user gives stand in for md.
NEEDED = {
    "narrow": ("zero_step", "errors", "md"),
    "broad": ("zero_step", "errors", "md", "forgetting", "dimers", "rss"),
}
#: Observables: needed wherever the user gives a reference for one.
OBSERVABLES = ("rdf", "neb", "torsion")


@dataclass(frozen=True)
class Conclusion:
    """What the findings come to.

    Attributes:
        verdict: pass, concern, fail or incomplete.
        sentence: the same in words.
        counted: for each finding, whether the verdict rests on it.
    """

    verdict: Literal["pass", "concern", "fail", "incomplete"]
    sentence: str
    counted: tuple[bool, ...]


def needed_by(scope: Scope, given: Sequence[str]) -> tuple[str, ...]:
    """Protocols that the verdict rests on.

    Args:
        scope: what the model is for.
        given: observables that the user gave a reference for.
    """
    needed = [*NEEDED[scope], *given]
    if scope == "narrow" and given:
        needed.remove("md")
    return tuple(needed)


def conclude(
    scope: Scope,
    candidate: str,
    findings: Sequence[Finding],
    needed: Sequence[str],
    not_tested: Sequence[NotTested],
    *,
    quick: bool = False,
) -> Conclusion:
    """The verdict on a candidate.

    Args:
        scope: what the model is for.
        candidate: what it is called.
        findings: of all protocols that were run.
        needed: protocols that the verdict rests on; what else was run is reported, and not counted.
        not_tested: protocols that were not run.
        quick: whether the settings were those of a first look, which is no full test.
    """
    counted = tuple(finding.protocol in needed for finding in findings)
    mine = [finding for finding, counts in zip(findings, counted, strict=True) if counts]
    level = worst([finding.level for finding in mine])
    missing = [entry.protocol for entry in not_tested if entry.needed]
    purpose = MEANING[scope]
    reason = next((finding.sentence for finding in mine if finding.level == level), "")
    others = sum(finding.level == level for finding in mine) - 1
    more = f" ({others} more like it)" if others > 0 else ""
    if level == "fail":
        return Conclusion("fail", f"{candidate} is not fit for {purpose}. {reason}{more}", counted)
    if missing:
        text = f"No verdict on {candidate} for {purpose}: {listed(_spoken(missing))} not tested."
        return Conclusion("incomplete", text, counted)
    if level == "concern":
        how = "passed a first look" if quick else "passed"
        text = f"{candidate} {how} for {purpose}, with concerns. {reason}{more}"
        return Conclusion("concern", text, counted)
    how = "passed a first look at" if quick else "passed"
    return Conclusion(
        "pass", f"{candidate} {how} every test for {purpose}.{_beyond(findings)}", counted
    )


def _beyond(findings: Sequence[Finding]) -> str:
    """What was found outside the scope, so that a pass is not taken for more than it is."""
    bad = [f.protocol for f in findings if f.level == "fail"]
    return f" Outside this scope it failed {listed(_spoken(bad))}." if bad else ""


def _spoken(names: Sequence[str]) -> list[str]:
    """Each name once, as it is said."""
    return [name.replace("_", "-") for name in dict.fromkeys(names)]


def by_level(findings: Sequence[Finding], rank: Mapping[str, int]) -> list[Finding]:
    """The worst first, then in the order of the protocols.

    Args:
        findings: in any order.
        rank: protocol → place.
    """
    return sorted(findings, key=lambda f: (-LEVELS.index(f.level), rank.get(f.protocol, 99)))
