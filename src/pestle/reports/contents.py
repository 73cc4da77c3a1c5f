"""The index of a page, and the few words beside the title of a section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.reports.asked import asked
from pestle.reports.flagged import FlaggedSection
from pestle.reports.models import Models
from pestle.reports.reading import Results
from pestle.wording import count, counted, figure, percent_of


def briefs(
    folder: Results,
    models: Models,
    verdict: Mapping[str, Any] | None,
    settings: Sequence[Mapping[str, Any]],
    notices: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Return a few words about the content of each section, which stand beside its title.

    Args:
        folder: results of the run.
        models: names of the potentials.
        verdict: rows of the verdict; `None` without one.
        settings: rows of the settings.
        notices: rows of the warnings.

    Returns:
        Section → its words; empty if nothing is known.
    """
    rows, manifest = dict(asked(folder, models)), folder.manifest
    kinds = {"error": 0, "warning": 0, "note": 0}
    for notice in notices:
        kinds[notice["severity"]] += 1
    found = {
        "verdict": verdict["tally"] if verdict is not None else "",
        "tests": counted(len(verdict["tested"]), "test") if verdict is not None else "",
        "warnings": ", ".join(counted(n, kind) for kind, n in kinds.items() if n),
        "asked": rows.get("Method", rows.get("Tested", "")),
        "data": rows.get("Data", ""),
    }
    found |= dict.fromkeys(("e0s", "curves", "method", "settings"), "")
    if manifest is not None:
        found["warnings"] = found["warnings"] or "none"
        chosen = sum(row["chosen"] for row in settings)
        method, training = manifest.method, manifest.training
        found["e0s"] = manifest.reference_energies.method
        found["settings"] = f"{count(chosen)} of {count(len(settings))} differ from the default"
        if method.n_parameters:
            share = percent_of(method.n_trainable, method.n_parameters)
            found["method"] = f"{share} of {count(method.n_parameters)} parameters trained"
        if training is not None:
            found["curves"] = (
                f"{counted(training.epochs, 'epoch')}, kept: {figure(training.best_epoch, 4)}"
            )
    return found


def index(
    folder: Results,
    verdict: Mapping[str, Any] | None,
    sections: Sequence[Mapping[str, Any]],
    flagged: FlaggedSection | None,
    *,
    drift: bool,
    replay: bool,
) -> list[dict[str, Any]]:
    """Return the sections in the order of the page, in three groups.

    Args:
        folder: results of the run.
        verdict: rows of the verdict; `None` without one.
        sections: sections of the protocols.
        flagged: flagged structures; `None` without any.
        drift, replay: whether the page has these sections.
    """
    protocols = [(f"protocol-{p['name']}", p["title"], p["badge"]) for p in sections]
    if folder.is_run and "errors" not in folder.protocols:
        protocols.append(("protocol-errors", "Errors", None))
    outcome = [("verdict", "Findings", None)] if verdict is not None else []
    outcome += [("warnings", "Warnings", None)] if folder.is_run else []
    outcome += protocols
    outcome += [("flagged", "Flagged structures", None)] if flagged is not None else []
    if verdict is not None and verdict["tested"]:
        outcome.append(("tests", "Tests that were run", None))
    training = [("curves", "Learning curves", None)] if folder.is_run else []
    training += [("drift", "Drift", None)] if drift else []
    record = [("asked", "What was asked", None)]
    if folder.is_run:
        record += [("data", "Data", None)]
        record += [("replay", "Replay", None)] if replay else []
        record += [("e0s", "Reference energies", None), ("method", "Method", None)]
        record += [("files", "Model files", None), ("settings", "Settings", None)]
    record.append(("provenance", "How to repeat it", None))
    return grouped({"Outcome": outcome, "Training": training, "Record": record})


#: Anchor of a section, its title, and the badge of its verdict if it has one.
Entry = tuple[str, str, dict[str, str] | None]


def grouped(groups: Mapping[str, Sequence[Entry]]) -> list[dict[str, Any]]:
    """Return the index as the template `side_index` takes it.

    Args:
        groups: title of a group → its sections in the order of the page; empty groups are left out.
    """
    return [
        {
            "title": title,
            "entries": [{"anchor": a, "title": t, "badge": b} for a, t, b in entries],
        }
        for title, entries in groups.items()
        if entries
    ]
