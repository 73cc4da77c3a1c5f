"""Warnings on the page of a run, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pestle.records.data import DataFinding
from pestle.records.set_errors import WORSE_BY, quantities_worse
from pestle.reports.error_tables import quotable, worse_than_foundation
from pestle.reports.models import Models
from pestle.reports.reading import Results

_ORDER = {"error": 0, "warning": 1, "note": 2}


def notices(folder: Results, models: Models) -> list[dict[str, Any]]:
    """Return findings of the checks, warnings of the run, and warnings about its errors.

    Args:
        folder: results of the run.
        models: names of the potentials.

    Returns:
        Severity, source, message, frames and advice of each, the worst first.
    """
    manifest = folder.manifest
    found = []
    if manifest is not None:
        found += [_of_check(f) for f in manifest.data.findings if f.severity != "note"]
        for text in manifest.reference_energies.warnings:
            found.append(_notice("warning", "Reference energies", text))
    # What the ending says already is not said again.
    ending = manifest.ending if manifest is not None else None
    if ending is not None and ending.breadth.warning:
        text = ending.breadth.warning
        found.append(_notice("warning", "Breadth", text[:1].upper() + text[1:]))
    told = quantities_worse(ending.sets) if ending is not None and ending.trouble else []
    worse = worse_than_foundation(folder, models, told)
    if worse:
        message = (
            "The model of this run is worse than the foundation by more than "
            f"{WORSE_BY * 100:.0f} % here: " + "; ".join(worse)
        )
        fix = (
            "More frames of that kind, fewer epochs, or a method that keeps more of the foundation."
        )
        found.append(_notice("warning", "Errors", message, fix=fix))
    if folder.errors and not quotable(folder.errors):
        message = (
            "No test frames were given. The best errors here are on the frames that chose the "
            "epoch, so they are too small"
        )
        found.append(_notice("warning", "Errors", message, fix="Give data.test."))
    if manifest is not None:
        said = " ".join(n["message"] for n in found)
        for text in manifest.warnings:
            # The list of the run contains findings and E0 warnings again; they are shown once.
            if text not in said and not any(n["message"] and n["message"] in text for n in found):
                found.append(_notice("warning", "Run", text))
        found += [_notice("note", "Method", text) for text in manifest.method.notes]
    return sorted(found, key=lambda n: _ORDER[n["severity"]])


def check_notes(folder: Results) -> list[dict[str, Any]]:
    """Return the notes of the checks, which are shown with the data."""
    found = folder.manifest.data.findings if folder.manifest is not None else ()
    return [_of_check(f) for f in found if f.severity == "note"]


def _of_check(finding: DataFinding) -> dict[str, Any]:
    more = max(0, finding.n_frames - len(finding.frames))
    return _notice(
        finding.severity,
        "Data check",
        finding.message,
        frames=finding.frames,
        more=more,
        fix=finding.fix,
    )


def _notice(
    severity: str,
    source: str,
    message: str,
    *,
    frames: Sequence[str] = (),
    more: int = 0,
    fix: str = "",
) -> dict[str, Any]:
    return {
        "severity": severity,
        "source": source,
        "message": message,
        "frames": frames,
        "more": more,
        "fix": fix,
    }
