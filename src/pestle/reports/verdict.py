"""The verdict as rows: findings, tests that were run, and tests that were not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pestle.progress import duration
from pestle.records.verdict import CountedFinding, Verdict
from pestle.reports.reading import Results, protocol_title
from pestle.typed import parts_of, qualify_commands
from pestle.wording import MISSING, number, with_unit

#: Level → word, sign and kind of colour; word and sign are enough to tell it without the colour.
LEVELS = {
    "fail": ("FAIL", "✕", "bad"),
    "concern": ("CONCERN", "!", "warn"),
    "incomplete": ("INCOMPLETE", "?", "open"),
    "pass": ("PASS", "✓", "good"),
}
#: Scope → purpose of the model.
SCOPES = {
    "narrow": "narrow: configurations like those of the data",
    "broad": "broad: also configurations unlike those of the data",
}


def badge(level: str) -> dict[str, str]:
    """Return word, sign and kind of colour of a level."""
    word, sign, kind = LEVELS[level]
    return {"word": word, "sign": sign, "kind": kind}


def verdict(folder: Results) -> dict[str, Any] | None:
    """Return everything about the verdict, for the template; `None` if there is no verdict."""
    found = folder.verdict
    if found is None:
        return None
    shipped = found.thresholds == "shipped"
    rows = findings(folder)
    passed = [row for row in rows if row["level"] == "pass"]
    open_ones = [row for row in rows if row["level"] != "pass"]
    return {
        "badge": badge(found.verdict),
        "sentence": conclusion(found),
        "scope": SCOPES[found.scope],
        "scope_name": found.scope,
        "quick": found.quick,
        "thresholds": "those that Pestle ships" if shipped else found.thresholds,
        "tally": tally([row["level"] for row in rows]),
        "counting": [row for row in open_ones if row["counts"]],
        "beyond": [row for row in open_ones if not row["counts"]],
        "passed": passed,
        "use": found.use.lines if found.use is not None else {},
        "not_tested": [
            {
                "title": protocol_title(entry.protocol),
                "needed": entry.needed,
                "why": entry.why,
                "how": entry.how,
            }
            for entry in sorted(found.not_tested, key=lambda entry: not entry.needed)
        ],
        "tested": _tested(folder, found),
    }


def conclusion(found: Verdict) -> str:
    """Return the sentence of a verdict without the finding in it, which the page shows below.

    Args:
        found: the verdict.
    """
    for finding in found.findings:
        before, quoted, _ = found.sentence.partition(finding.sentence)
        if finding.sentence and quoted and before.strip():
            return before.strip()
    return found.sentence


def tally(found: Sequence[str]) -> str:
    """Return how many findings or verdicts have each level: `1 fail, 2 concerns, 13 passes`.

    Args:
        found: level of each of them.
    """
    endings = {"pass": "es", "incomplete": ""}
    return ", ".join(
        f"{found.count(level)} {level}{'' if found.count(level) == 1 else endings.get(level, 's')}"
        for level in LEVELS
        if level in found
    )


def how_to_qualify(folder: Results) -> list[str]:
    """Return the command that qualifies the model of a folder; that of each scope if the run does
    not say for which.
    """
    scope = folder.setting("scope")
    lines = qualify_commands(folder.path, scope if scope in SCOPES else None)
    return [typed for typed, _ in parts_of(lines)]


def findings(folder: Results, protocol: str | None = None) -> list[dict[str, Any]]:
    """Return findings for the template: those that count first, of these the worst first.

    Args:
        folder: results of the run.
        protocol: only findings of this protocol; `None` for all.
    """
    if folder.verdict is None:
        return []
    order = list(LEVELS)
    found = sorted(folder.verdict.findings, key=lambda f: (not f.counts, order.index(f.level)))
    scope = folder.verdict.scope
    return [
        {
            "anchor": f"finding-{k}",
            "badge": badge(f.level),
            "level": f.level,
            "counts": f.counts,
            "protocol": f.protocol,
            "title": protocol_title(f.protocol),
            "linked": f.protocol in folder.protocols,
            "sentence": f.sentence,
            "quantity": f.quantity,
            "value": figure_of(f),
            "known": f.value is not None,
            "limit": f.limit,
            "aside": "" if f.counts else f"does not count for the {scope} scope",
        }
        for k, f in enumerate(found, start=1)
        if protocol is None or f.protocol == protocol
    ]


def figure_of(finding: CountedFinding) -> str:
    """Return the value of a finding with its unit; an em dash if it has none."""
    if finding.value is None:
        return MISSING
    return with_unit(finding.value, finding.unit, number(finding.value))


def _tested(folder: Results, found: Verdict) -> list[dict[str, Any]]:
    """Return rows of the protocols that were run: outcome, extent, full extent and time."""
    seconds = folder.timings.seconds if folder.timings is not None else {}
    return [
        {
            "title": protocol_title(name),
            "link": f"protocol-{name}" if name in folder.protocols else "",
            "badge": badge(part.level) if part.level else None,
            "needed": "yes" if part.needed else "no",
            "extent": part.extent or MISSING,
            "full": part.full_extent,
            "time": duration(seconds[name]) if name in seconds else MISSING,
            "seconds": seconds.get(name),
        }
        for name, part in found.protocols.items()
    ]
