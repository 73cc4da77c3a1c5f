"""Everything the reader must not overlook, worst first."""

from __future__ import annotations

from typing import Any

from pestle.records.ending import WORSE_BY
from pestle.report.error_tables import quotable, worse_than_foundation
from pestle.report.models import Models
from pestle.report.run_folder import RunFolder, nested

_ORDER = {"error": 0, "warning": 1, "note": 2}


def notices(folder: RunFolder, models: Models) -> list[dict[str, Any]]:
    """Findings of the checks, warnings of the run, and what the errors themselves warn of."""
    found = [
        _notice(str(f["severity"]), "Data check", str(f.get("message") or ""), f)
        for f in _findings(folder)
        if f.get("severity") in ("error", "warning")
    ]
    found += [
        _notice("warning", "Reference energies", str(text))
        for text in folder.part("reference_energies").get("warnings") or []
    ]
    worse = worse_than_foundation(folder, models)
    if worse:
        message = (
            "The model of this run is somewhere worse than the foundation by more than "
            f"{WORSE_BY * 100:.0f} %: " + "; ".join(worse)
        )
        fix = (
            "More frames of that kind, fewer epochs, or a method that keeps more of the foundation."
        )
        found.append(_notice("warning", "Errors", message, {"fix": fix}))
    if folder.errors and not quotable(nested(folder.errors, "sets")):
        message = (
            "No test frames were given: the best figures here come from frames that chose the "
            "epoch, and are optimistic"
        )
        found.append(_notice("warning", "Errors", message, {"fix": "Give data.test."}))
    said = " ".join(n["message"] for n in found)
    for text in folder.manifest.get("warnings") or []:
        # The run repeats findings and E0 warnings in its own list; once is enough.
        if str(text) not in said and not any(
            n["message"] and n["message"] in str(text) for n in found
        ):
            found.append(_notice("warning", "Run", str(text)))
    found += [
        _notice("note", "Method", str(text)) for text in folder.part("method").get("notes") or []
    ]
    return sorted(found, key=lambda n: _ORDER.get(n["severity"], 1))


def check_notes(folder: RunFolder) -> list[dict[str, Any]]:
    """Findings that are merely worth knowing; they stand with the data."""
    return [
        _notice("note", "Data check", str(f.get("message") or ""), f)
        for f in _findings(folder)
        if f.get("severity") == "note"
    ]


def _findings(folder: RunFolder) -> list[dict[str, Any]]:
    return [f for f in folder.part("data").get("findings") or [] if isinstance(f, dict)]


def _notice(
    severity: str, source: str, message: str, finding: dict[str, Any] | None = None
) -> dict[str, Any]:
    finding = finding or {}
    frames = [str(f) for f in finding.get("frames") or []]
    more = int(finding.get("n_frames") or 0) - len(frames)
    return {
        "severity": severity,
        "source": source,
        "code": str(finding.get("code") or ""),
        "message": message,
        "frames": frames,
        "more": max(0, more),
        "fix": str(finding.get("fix") or ""),
    }
