"""What was asked: method, foundation, data and scope of a run, or the models of a test."""

from __future__ import annotations

from pestle.records.manifest import Manifest
from pestle.reports.models import Models
from pestle.reports.reading import Results
from pestle.reports.verdict import SCOPES
from pestle.wording import MISSING, count, counted, moment, number


def frames_in(manifest: Manifest, split: str) -> int:
    """Return the number of frames of a split, without isolated atoms.

    Args:
        manifest: manifest of the run.
        split: train, valid or test; it must be recorded.
    """
    summary = manifest.data.summary[split]
    return summary.n_frames - summary.n_isolated_atoms


def asked(folder: Results, models: Models) -> list[tuple[str, str]]:
    """Return the rows of the section of what was asked.

    Args:
        folder: results of the run.
        models: names of the potentials.

    Returns:
        Name and value of each row.
    """
    rows = _of_run(folder.manifest, folder) if folder.manifest is not None else []
    rows += _of_test(folder, models)
    return [(name, value) for name, value in rows if value and value != MISSING]


def _of_run(manifest: Manifest, folder: Results) -> list[tuple[str, str]]:
    """Return the rows about a run; values may be empty."""
    name, foundation, data = folder.method_name, manifest.foundation, manifest.data
    spoken = "from scratch" if folder.from_scratch else folder.method_in_words
    chosen = ", chosen by auto" if manifest.method.choice is not None else ""
    facts = [
        f for f in (foundation.level_of_theory, foundation.licence) if f not in ("", "unknown")
    ]
    start = foundation.name + (f" ({'; '.join(facts)})" if facts else "")
    e0s = manifest.reference_energies
    length = ""
    if manifest.training is not None:
        training = manifest.training
        length = f"{counted(training.steps, 'update')} ({counted(training.epochs, 'epoch')})"
    spoken_splits = {"train": "training", "valid": "validation"}
    frames = [
        f"{count(frames_in(manifest, split))} {spoken_splits.get(split, split)}"
        for split, summary in data.summary.items()
        if summary.n_frames
    ]
    in_training = data.summary["train"].elements if "train" in data.summary else {}
    scope = SCOPES.get(str(folder.setting("scope")), "") if folder.verdict is None else ""
    return [
        ("Method", f"{spoken} ({name}){chosen}"),
        ("Foundation", start),
        ("Made from", " → ".join(one.name for one in manifest.ancestry[:-1])),
        ("Data", f"{', '.join(frames)} frames" if frames else ""),
        ("Continues", _continues(manifest)),
        ("Elements in the data", " ".join(in_training)),
        ("Dispersion", _dispersion(manifest)),
        ("Reference energies", e0s.method + (f": {e0s.reason}" if e0s.reason else "")),
        ("Length", length),
        ("Scope", scope),
    ]


def _continues(manifest: Manifest) -> str:
    """Return which runs this one continues, or how it could continue its parent."""
    old = manifest.continued
    if old is None:
        return manifest.offer
    names = " and ".join(run.name for run in old.runs)
    return (
        f"{names}: {count(old.n_frames)} of the training frames, each with weight "
        f"{number(old.weight)}; a new frame has weight 1"
    )


def _dispersion(manifest: Manifest) -> str:
    """Return whether the labels include dispersion, in words; empty if it is unknown."""
    if manifest.data.dispersion_removed:
        removed = manifest.data.dispersion_removed
        return f"{removed} was subtracted from the labels: add it when you use the model"
    said = {
        "included": "in the labels: do not add a D3 correction to the model",
        "none": "not in the labels",
    }
    return said.get(manifest.data.dispersion, "")


def _of_test(folder: Results, models: Models) -> list[tuple[str, str]]:
    """Return the rows about the tests; values may be empty."""
    found = folder.verdict
    if found is None:
        return []
    quick = "quick: a first look in minutes" if found.quick else "full"
    return [
        ("Tested", found.candidate if not folder.is_run else ""),
        ("Compared with", models.label(found.baseline) if found.baseline else ""),
        ("Also compared", ", ".join(found.others)),
        ("Scope", SCOPES[found.scope]),
        ("Settings of the tests", quick),
        ("Tested on", moment(folder.timings.when) if folder.timings is not None else ""),
    ]
