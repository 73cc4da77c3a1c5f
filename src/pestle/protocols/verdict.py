"""The verdict, from the findings of the protocols that a scope needs.

Without a test there is no claim: if a protocol that the scope needs was not run, the verdict is
incomplete, unless another one failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pestle.protocols import declarations
from pestle.records.verdict import LEVELS, Finding, Level, NotTested, Use, worst
from pestle.settings.scope import Scope
from pestle.wording import listed

#: Scope → purpose for which a model is fit that has passed.
MEANING = {
    "narrow": "simulations of configurations like those of its data",
    "broad": "configurations unlike those of its data",
}


@dataclass(frozen=True)
class Conclusion:
    """The verdict with its reasons.

    Attributes:
        verdict: pass, concern, fail or incomplete.
        sentence: the verdict in words.
        counted: for each finding, whether the verdict depends on it.
    """

    verdict: Literal["pass", "concern", "fail", "incomplete"]
    sentence: str
    counted: tuple[bool, ...]


def needed_by(scope: Scope, given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the protocols on which the verdict depends.

    Args:
        scope: purpose of the model.
        given: observables for which the user gave a reference.
    """
    return tuple(
        declared.name
        for declared in declarations()
        if declared.name in given
        or (scope in declared.scopes and not (given and scope in declared.replaced_in))
    )


def conclude(
    scope: Scope,
    candidate: str,
    findings: Sequence[Finding],
    needed: Sequence[str],
    not_tested: Sequence[NotTested],
    *,
    quick: bool = False,
) -> Conclusion:
    """Conclude the verdict on a candidate.

    Args:
        scope: purpose of the model.
        candidate: name of the model.
        findings: findings of all protocols that were run.
        needed: protocols on which the verdict depends; others are reported but do not count.
        not_tested: protocols that were not run.
        quick: whether the settings were those of a first look, which is not a full test.

    Returns:
        The verdict.
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
    text = f"{candidate} {how} every test for {purpose}."
    # Failures outside the scope are named, so that a pass is not overrated.
    outside = [finding.protocol for finding in findings if finding.level == "fail"]
    text += f" Outside this scope it failed {listed(_spoken(outside))}." if outside else ""
    return Conclusion("pass", text, counted)


def _spoken(names: Sequence[str]) -> list[str]:
    """Return each name once, with hyphens."""
    return [name.replace("_", "-") for name in dict.fromkeys(names)]


def in_order(findings: Sequence[Finding], needed: Sequence[str]) -> list[Finding]:
    """Sort findings: those that count first, then the worst, then in the order of the protocols.

    Args:
        findings: findings in any order.
        needed: protocols that the verdict depends on.
    """
    rank = {declared.name: declared.place for declared in declarations()}

    def place(finding: Finding) -> tuple[bool, int, int]:
        level = -LEVELS.index(finding.level)
        return finding.protocol not in needed, level, rank.get(finding.protocol, len(rank))

    return sorted(findings, key=place)


def use_of(findings: Sequence[Finding], not_tested: Sequence[NotTested], *, quick: bool) -> Use:
    """Return what a model may be used for, according to the findings of its tests.

    Args:
        findings: of all protocols that were run, also of those that do not count for the scope.
        not_tested: protocols that were not run.
        quick: whether the settings were those of a first look.
    """
    levels: dict[str, Level] = {}
    for finding in findings:
        found = levels.get(finding.protocol, "pass")
        levels[finding.protocol] = worst([found, finding.level])

    def uses(level: Level | None) -> tuple[str, ...]:
        return tuple(d.use for d in declarations() if d.use and levels.get(d.name) == level)

    missing = {entry.protocol for entry in not_tested if entry.needed}
    nothing = []
    for declared in declarations():
        if declared.basis and levels.get(declared.name) == "fail":
            nothing.append(f"{declared.title.lower()} failed")
        elif declared.basis and declared.name in missing - levels.keys():
            nothing.append(f"{declared.title.lower()} not tested")
    return Use(
        fit=() if nothing else uses("pass"),
        with_care=() if nothing else uses("concern"),
        unfit=uses("fail"),
        untested=uses(None),
        nothing=", ".join(nothing),
        first_look=quick,
    )
