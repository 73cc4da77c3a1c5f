"""What was asked: method, foundation, data and scope of a run, or the models of a test."""

from __future__ import annotations

from typing import Any

from pestle.report.models import Models
from pestle.report.run_folder import RunFolder, nested, split_summaries
from pestle.report.verdict import SCOPES
from pestle.report.wording import MISSING, count, is_number, moment, plain


def asked(folder: RunFolder, models: Models) -> list[tuple[str, str]]:
    """Rows of name and value."""
    rows = [*(_of_run(folder) if folder.is_run else []), *_of_test(folder, models)]
    return [(name, value) for name, value in rows if value and value != MISSING]


def _of_run(folder: RunFolder) -> list[tuple[str, str]]:
    method, foundation = folder.part("method"), folder.part("foundation")
    name = str(method.get("name") or "")
    spoken = folder.method.in_words if folder.method is not None else f"{name} fine-tuning"
    spoken = "from scratch" if folder.from_scratch else spoken
    chosen = ", chosen by auto" if method.get("choice") else ""
    facts = [
        str(foundation.get(key))
        for key in ("level_of_theory", "licence")
        if _known(foundation, key)
    ]
    start = plain(foundation.get("name")) + (f" ({'; '.join(facts)})" if facts else "")
    e0s = folder.part("reference_energies")
    reason = f": {e0s['reason']}" if e0s.get("reason") else ""
    training = folder.part("training")
    updates, epochs = training.get("steps"), training.get("epochs")
    length = f"{count(updates)} updates ({epochs:,.4g} epochs)" if is_number(epochs) else ""
    return [
        ("Method", f"{spoken} ({name}){chosen}" if name else MISSING),
        ("Foundation", start),
        ("Data", _frames(folder)),
        ("Elements in the data", _elements(folder)),
        ("Dispersion", _dispersion(folder)),
        ("Reference energies", f"{plain(e0s.get('method'))}{reason}" if e0s else MISSING),
        ("Length", length),
        ("Scope", SCOPES.get(str(folder.setting("scope")), "") if not folder.verdict else ""),
    ]


def _known(foundation: dict[str, Any], key: str) -> bool:
    return bool(foundation.get(key)) and foundation[key] != "unknown"


def _frames(folder: RunFolder) -> str:
    """`60 training, 12 validation, 60 test frames`; isolated atoms are no frames."""
    summary = split_summaries(folder)
    names = {"train": "training", "valid": "validation"}
    parts = []
    for split in summary:
        n = nested(summary, split).get("n_frames")
        if is_number(n) and n:
            n -= nested(summary, split).get("n_isolated_atoms") or 0
            parts.append(f"{count(n)} {names.get(split, split)}")
    return f"{', '.join(parts)} frames" if parts else MISSING


def _dispersion(folder: RunFolder) -> str:
    """Whether the labels hold it; empty where nobody said."""
    data = folder.part("data")
    if data.get("dispersion_removed"):
        return (
            f"{data['dispersion_removed']} was taken from the labels: add it when the model is used"
        )
    said = {
        "included": "in the labels: no D3 correction may be added to the model",
        "none": "not in the labels",
    }
    return said.get(str(data.get("dispersion")), "")


def _elements(folder: RunFolder) -> str:
    found = nested(split_summaries(folder), "train", "elements")
    return " ".join(found) if found else MISSING


def _of_test(folder: RunFolder, models: Models) -> list[tuple[str, str]]:
    found = folder.verdict
    if not found:
        return []
    others = [str(name) for name in found.get("others") or []]
    return [
        ("Tested", str(found.get("candidate") or "") if not folder.is_run else ""),
        ("Compared with", models.label(str(found["baseline"])) if found.get("baseline") else ""),
        ("Also compared", ", ".join(others)),
        ("Scope", SCOPES.get(str(found.get("scope")), plain(found.get("scope")))),
        (
            "Settings of the tests",
            "quick: a first look in minutes" if found.get("quick") else "full",
        ),
        ("Tested on", moment(folder.timings.get("when"))),
    ]
