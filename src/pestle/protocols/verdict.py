"""The verdict, from the findings of the protocols that a scope needs.

Without a test there is no claim: if a protocol that the scope needs was not run, the verdict is
incomplete, unless another one failed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


#: Largest number of further findings that the sentence of a verdict names.
NAMED = 3


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
        if declared.name in given or scope in declared.scopes
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
    more = _named([finding for finding in mine if finding.level == level][1:])
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


def _named(others: Sequence[Finding]) -> str:
    """Name the findings of the level that decides, but for the first, whose sentence is quoted."""
    if not others:
        return ""
    many = f"{len(others)} more" if len(others) > 1 else "one more"
    noun = {"concern": "concern", "fail": "failure", "pass": "pass"}[others[0].level]
    noun += "s" if len(others) > 1 else ""
    said = [f"{finding.quantity} ({_spoken([finding.protocol])[0]})" for finding in others[:NAMED]]
    rest = f", and {len(others) - NAMED} below them" if len(others) > NAMED else ""
    return f" And {many} {noun}: {listed(said) if not rest else ', '.join(said)}{rest}."


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


def use_of(
    findings: Sequence[Finding],
    not_tested: Sequence[NotTested],
    first_looks: Collection[str] = (),
) -> Use:
    """Return what a model may be used for, according to the findings of its tests.

    A use rests on every protocol that declares it (`uses`) and on the basis of all of them
    (`basis`). It is never better than the worst of these: unfit if one of them failed, with care if
    one has a concern, and not tested if one that declares it was not run. It rests on a first look
    if one of them was less than the full settings would calculate.

    Args:
        findings: of all protocols that were run, also of those that do not count for the scope.
        not_tested: protocols that were not run.
        first_looks: names of the protocols that calculated less than the full settings would.
    """
    levels: dict[str, Level] = {}
    for finding in findings:
        found = levels.get(finding.protocol, "pass")
        levels[finding.protocol] = worst([found, finding.level])

    basis = [declared for declared in declarations() if declared.basis]
    missing = {entry.protocol for entry in not_tested if entry.needed}
    nothing = []
    for declared in basis:
        if levels.get(declared.name) == "fail":
            nothing.append(f"{declared.title.lower()} failed")
        elif declared.name in missing - levels.keys():
            nothing.append(f"{declared.title.lower()} not tested")
    uses: dict[str, list[str]] = {"pass": [], "concern": [], "fail": [], "untested": []}
    looks = []
    for use in dict.fromkeys(use for declared in declarations() for use in declared.uses):
        own = [declared.name for declared in declarations() if use in declared.uses]
        rests_on = {*own, *(declared.name for declared in basis)}
        lacking = [name for name in own if name not in levels]
        if any(levels.get(name) == "fail" for name in own):
            uses["fail"].append(use)
        elif lacking:
            without = f" ({listed(_spoken(lacking))} missing)" if len(lacking) < len(own) else ""
            uses["untested"].append(use + without)
        elif not nothing:
            uses[worst([levels[name] for name in rests_on & levels.keys()])].append(use)
            looks += [use] if rests_on & set(first_looks) else []
    return Use(
        fit=tuple(uses["pass"]),
        with_care=tuple(uses["concern"]),
        unfit=tuple(uses["fail"]),
        untested=tuple(uses["untested"]),
        nothing=", ".join(nothing),
        first_look=tuple(looks),
    )
