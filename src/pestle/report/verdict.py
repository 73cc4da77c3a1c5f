"""The verdict as rows: what was found, what was not tested, what the quick settings left out."""

from __future__ import annotations

import shlex
from typing import Any

from pestle.progress import duration
from pestle.records.wording import MISSING, is_number, number
from pestle.report.protocol_results import protocol_title
from pestle.report.run_folder import RunFolder, nested, objects

#: Level → word, sign, kind of colour. The word and the shape say it without the colour.
LEVELS = {
    "fail": ("FAIL", "✕", "bad"),
    "concern": ("CONCERN", "!", "warn"),
    "incomplete": ("INCOMPLETE", "?", "open"),
    "pass": ("PASS", "✓", "good"),
}
_UNKNOWN = ("NO VERDICT", "–", "open")
#: Scope → what the model is meant for.
SCOPES = {
    "narrow": "narrow: configurations like those of the data",
    "broad": "broad: also configurations unlike those of the data",
}


def badge(level: Any) -> dict[str, str]:
    """Word, sign and colour of a level."""
    word, sign, kind = LEVELS.get(str(level), _UNKNOWN)
    return {"word": word, "sign": sign, "kind": kind}


def verdict(folder: RunFolder) -> dict[str, Any] | None:
    """Everything about the verdict; `None` where the model was not qualified."""
    found = folder.verdict
    if not found:
        return None
    return {
        "badge": badge(found.get("verdict")),
        "sentence": str(found.get("sentence") or ""),
        "scope": SCOPES.get(str(found.get("scope")), str(found.get("scope") or "")),
        "quick": bool(found.get("quick")),
        "thresholds": _thresholds(found.get("thresholds")),
        "findings": findings(folder),
        "not_tested": _not_tested(found),
        "left_out": _left_out(found),
        "tested": _tested(found, nested(folder.timings, "seconds")),
    }


def how_to_qualify(folder: RunFolder) -> str:
    """The command that gives this folder a verdict."""
    scope = folder.setting("scope")
    scope = scope if scope in SCOPES else "narrow|broad"
    return f"pestle qualify {shlex.quote(str(folder.path))} --scope {scope}"


def findings(folder: RunFolder, protocol: str | None = None) -> list[dict[str, Any]]:
    """Findings, of one protocol or of all: the worst first, those that count before others."""
    order = list(LEVELS)
    found = [
        entry
        for entry in objects(folder.verdict.get("findings"))
        if protocol is None or entry.get("protocol") == protocol
    ]
    found.sort(
        key=lambda f: (
            order.index(f["level"]) if f.get("level") in order else len(order),
            not f.get("counts", True),
        )
    )
    scope = str(folder.verdict.get("scope") or "")
    return [_finding(entry, folder, scope) for entry in found]


def _finding(entry: dict[str, Any], folder: RunFolder, scope: str) -> dict[str, Any]:
    name = str(entry.get("protocol") or "")
    return {
        "badge": badge(entry.get("level")),
        "protocol": name,
        "title": protocol_title(name),
        "linked": name in folder.protocols,
        "sentence": str(entry.get("sentence") or ""),
        "quantity": str(entry.get("quantity") or ""),
        "value": figure_of(entry),
        "limit": str(entry.get("limit") or ""),
        "aside": f"does not count for the {scope} scope" if entry.get("counts") is False else "",
    }


def figure_of(entry: dict[str, Any]) -> str:
    """The figure of a finding with its unit; an em dash for none."""
    if not is_number(entry.get("value")):
        return MISSING
    return f"{number(entry['value'])} {entry.get('unit') or ''}".strip()


def _thresholds(value: Any) -> str:
    if not value:
        return ""
    return "those that Pestle ships" if value == "shipped" else str(value)


def _not_tested(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What the scope needs stands first."""
    entries = [
        {
            "title": protocol_title(str(entry.get("protocol") or "")),
            "needed": bool(entry.get("needed")),
            "why": str(entry.get("why") or ""),
            "how": str(entry.get("how") or ""),
        }
        for entry in objects(found.get("not_tested"))
    ]
    return sorted(entries, key=lambda entry: not entry["needed"])


def _left_out(found: dict[str, Any]) -> list[dict[str, str]]:
    """Protocols of which the quick settings calculated a part."""
    return [
        {
            "title": protocol_title(name),
            "extent": str(nested(found, "protocols", name).get("extent") or MISSING),
            "full": str(nested(found, "protocols", name)["full_extent"]),
        }
        for name in nested(found, "protocols")
        if nested(found, "protocols", name).get("full_extent")
    ]


def _tested(found: dict[str, Any], seconds_of: dict[str, Any]) -> list[dict[str, Any]]:
    """Protocols that were run: outcome, extent and time."""
    rows = []
    for name in nested(found, "protocols"):
        part = nested(found, "protocols", name)
        seconds = seconds_of.get(name)
        rows.append(
            {
                "protocol": name,
                "title": protocol_title(name),
                "badge": badge(part["level"]) if part.get("level") else None,
                "needed": "yes" if part.get("needed") else "no",
                "extent": str(part.get("extent") or MISSING),
                "time": duration(seconds) if is_number(seconds) else MISSING,
                "seconds": seconds if is_number(seconds) else None,
            }
        )
    return rows
