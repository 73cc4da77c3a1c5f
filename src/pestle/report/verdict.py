"""The verdict as rows: what was found, what was not tested, what the quick settings left out."""

from __future__ import annotations

import shlex
from typing import Any

from pestle.progress import duration
from pestle.records.verdict import CountedFinding, Verdict
from pestle.records.wording import MISSING, number
from pestle.report.reading import Results, protocol_title

#: Level → word, sign, kind of colour. The word and the shape say it without the colour.
LEVELS = {
    "fail": ("FAIL", "✕", "bad"),
    "concern": ("CONCERN", "!", "warn"),
    "incomplete": ("INCOMPLETE", "?", "open"),
    "pass": ("PASS", "✓", "good"),
}
#: Scope → what the model is meant for.
SCOPES = {
    "narrow": "narrow: configurations like those of the data",
    "broad": "broad: also configurations unlike those of the data",
}


def badge(level: str) -> dict[str, str]:
    """Word, sign and colour of a level."""
    word, sign, kind = LEVELS[level]
    return {"word": word, "sign": sign, "kind": kind}


def verdict(folder: Results) -> dict[str, Any] | None:
    """Everything about the verdict; `None` where the model was not qualified."""
    found = folder.verdict
    if found is None:
        return None
    shipped = found.thresholds == "shipped"
    return {
        "badge": badge(found.verdict),
        "sentence": found.sentence,
        "scope": SCOPES[found.scope],
        "quick": found.quick,
        "thresholds": "those that Pestle ships" if shipped else found.thresholds,
        "findings": findings(folder),
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
        # Protocols of which the quick settings calculated a part.
        "left_out": [
            {
                "title": protocol_title(name),
                "extent": part.extent or MISSING,
                "full": part.full_extent,
            }
            for name, part in found.protocols.items()
            if part.full_extent
        ],
        "tested": _tested(found, folder.timings.seconds if folder.timings is not None else {}),
    }


def how_to_qualify(folder: Results) -> str:
    """The command that gives this folder a verdict."""
    scope = folder.setting("scope")
    scope = scope if scope in SCOPES else "narrow|broad"
    return f"pestle qualify {shlex.quote(str(folder.path))} --scope {scope}"


def findings(folder: Results, protocol: str | None = None) -> list[dict[str, Any]]:
    """Findings, of one protocol or of all: those that count first, of these the worst."""
    if folder.verdict is None:
        return []
    order = list(LEVELS)
    found = [f for f in folder.verdict.findings if protocol is None or f.protocol == protocol]
    found.sort(key=lambda f: (not f.counts, order.index(f.level)))
    scope = folder.verdict.scope
    return [
        {
            "badge": badge(f.level),
            "protocol": f.protocol,
            "title": protocol_title(f.protocol),
            "linked": f.protocol in folder.protocols,
            "sentence": f.sentence,
            "quantity": f.quantity,
            "value": figure_of(f),
            "limit": f.limit,
            "aside": "" if f.counts else f"does not count for the {scope} scope",
        }
        for f in found
    ]


def figure_of(finding: CountedFinding) -> str:
    """The figure of a finding with its unit; an em dash for none."""
    if finding.value is None:
        return MISSING
    return f"{number(finding.value)} {finding.unit}".strip()


def _tested(found: Verdict, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Protocols that were run: outcome, extent and time."""
    return [
        {
            "title": protocol_title(name),
            "badge": badge(part.level) if part.level else None,
            "needed": "yes" if part.needed else "no",
            "extent": part.extent or MISSING,
            "time": duration(seconds[name]) if name in seconds else MISSING,
            "seconds": seconds.get(name),
        }
        for name, part in found.protocols.items()
    ]
