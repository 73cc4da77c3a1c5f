"""The head of the page: one sentence, the status, the figures to remember, the licence; and what
was asked: method, foundation, data and scope of a run, or the models of a test."""

from __future__ import annotations

import math
from typing import Any

from pestle.foundations.catalogue import ASL
from pestle.progress import duration
from pestle.records.ending import Ending
from pestle.records.manifest import Manifest
from pestle.reports.curves import best_record, chosen_by, metric_in_words, watched, watched_in_words
from pestle.reports.drift import best_drift
from pestle.reports.error_tables import ENERGY, FORCES, QUANTITIES, set_in_words, telling
from pestle.reports.models import Models
from pestle.reports.reading import Results
from pestle.reports.verdict import SCOPES
from pestle.wording import MISSING, count, counted, moment, number, percent_of

_STATUS = {
    "finished": ("good", "finished"),
    "aborted": ("bad", "aborted"),
    "interrupted": ("warn", "interrupted"),
    "running": ("warn", "running"),
}

#: Parts of a licence's name that mean: not for commercial use.
_NON_COMMERCIAL = (ASL.lower(), "academic", "non-commercial", "noncommercial", "-nc")


def overview(folder: Results, models: Models) -> dict[str, Any]:
    """Everything above the first section."""
    manifest = folder.manifest
    kind, label = status_of(folder)
    when = folder.timings.when if folder.timings is not None else None
    if manifest is not None:
        when = manifest.finished or manifest.started
    # Of a run that finished the detail stands with the machine and the times.
    told = manifest is not None and manifest.status != "finished"
    detail = manifest.status_detail if manifest is not None and told else ""
    ending = manifest.ending if manifest is not None else None
    return {
        "name": folder.name,
        "sentence": sentence(folder, models) if folder.is_run else _tests(folder, models),
        "status": {"kind": kind, "label": label, "detail": detail} if folder.is_run else None,
        "ending": _ending(ending, folder) if ending is not None else None,
        "when": moment(when) if when else "",
        "figures": key_figures(folder, models),
        "licence": _licence(manifest, folder) if folder.is_run else None,
    }


def status_of(folder: Results) -> tuple[str, str]:
    """Kind of colour and words. A run that ended in vain is no success, though it finished."""
    if folder.manifest is None:
        return "warn", "unknown"
    ending, said = folder.manifest.ending, folder.manifest.status
    if said == "finished" and ending is not None and ending.trouble is not None:
        return "warn", f"finished: {ending.trouble.title}"
    return _STATUS.get(said, ("warn", said))


def _ending(ending: Ending, folder: Results) -> dict[str, Any]:
    """Title and warning where something is wrong that no finding tells, and the three lines.

    Of a qualified model the verdict says what to do next, and its tests what it cost in breadth.
    """
    lines, trouble = ending.lines(folder.path), ending.trouble
    found = folder.verdict.findings if folder.verdict is not None else ()
    if folder.verdict is not None and folder.verdict.use is not None:
        del lines["next"]
        if ending.breadth.drift is None and not ending.from_scratch:
            del lines["breadth"]
    if trouble is not None and any(trouble.what in finding.sentence for finding in found):
        trouble = None
    return {
        "title": trouble.title.capitalize() if trouble else "",
        "warning": trouble.sentence[:1].upper() + trouble.sentence[1:] if trouble else "",
        "lines": [(about.capitalize(), line) for about, line in lines.items()],
    }


def _tests(folder: Results, models: Models) -> str:
    """What a folder without a run is about."""
    text = f"{counted(len(folder.protocols), 'physical test')} of {folder.name}"
    base = folder.verdict.baseline if folder.verdict is not None else None
    return f"{text}, compared with {models.label(base)}." if base else f"{text}."


def _frames(manifest: Manifest, split: str) -> int:
    """Frames of a split. Isolated atoms give reference energies; they are no frames one would
    count."""
    summary = manifest.data.summary[split]
    return summary.n_frames - summary.n_isolated_atoms


def sentence(folder: Results, models: Models) -> str:
    """What was done and what came of it, in plain words."""
    manifest = folder.manifest
    if manifest is None:
        return f"A fine-tuning run: {_outcome(folder, models)}."
    link = "in the shape of" if folder.from_scratch else "of"
    text = f"{folder.method_in_words} {link} {manifest.foundation.name}"
    if "train" in manifest.data.summary:
        frames = _frames(manifest, "train")
        text += f" on {count(frames)} frame{'' if frames == 1 else 's'}"
    text = f"{text[0].upper()}{text[1:]}"
    # What was learned is the first line of an ending.
    return f"{text}." if manifest.ending is not None else f"{text}: {_outcome(folder, models)}."


def _outcome(folder: Results, models: Models) -> str:
    found = telling(folder, models)
    for q in (FORCES, ENERGY) if found is not None else ():
        assert found is not None
        value = q.rmse(found.tuned)
        if value is not None:
            old = None if found.base is None else q.rmse(found.base)
            if q is ENERGY:
                old = _without_offset(folder, found.name, value) or old
            who = "the foundation" if folder.from_scratch else "foundation before"
            before = f", {who} {number(old)}" if old is not None else ""
            where = set_in_words(found.name)
            return f"{q.word} error on the {where} {number(value)} {q.unit}{before}"
    kept = best_record(folder)
    errors = watched(kept) if kept is not None else None
    if errors is not None and errors.forces_rmse is not None:
        return (
            f"force error on the {watched_in_words(folder).removesuffix(' frames')} frames "
            f"{number(errors.forces_rmse)} meV/Å at the epoch kept so far; the errors "
            "by group were not calculated"
        )
    return "no error has been calculated"


def key_figures(folder: Results, models: Models) -> list[dict[str, str]]:
    """Label, value, unit and a note each."""
    figures = []
    found = telling(folder, models)
    for q in QUANTITIES if found is not None else ():
        assert found is not None
        value = q.rmse(found.tuned)
        if value is not None:
            note = _against(value, None if found.base is None else q.rmse(found.base))
            bare = _without_offset(folder, found.name, value) if q is ENERGY else None
            if bare is not None:
                note = _against(value, bare, " less its constant offset")
            label = f"{q.heading} RMSE, {set_in_words(found.name)}"
            figures.append(_figure(label, number(value), q.unit, note))
    manifest = folder.manifest
    training = manifest.training if manifest is not None else None
    if training is not None and training.best_update is not None:
        metric, unit = metric_in_words(training.best_metric)
        note = f"{chosen_by(folder)} {metric} {number(training.best_value)} {unit}".strip()
        label = "Last update, kept" if training.kept == "last" else "Best update"
        of_all = f"of {count(training.steps)}"
        figures.append(_figure(label, count(training.best_update), of_all, note))
    moved = best_drift(folder)
    if moved:
        figures.append(_figure("Force drift of the kept model", *moved))
    if manifest is not None and training is not None:
        machine = manifest.hardware
        device = (machine.gpu or machine.cpu) if machine is not None else ""
        note = " · ".join(part for part in (f"{count(training.steps)} steps", device) if part)
        figures.append(_figure("Training time", duration(training.seconds), "", note))
    if manifest is not None and manifest.method.n_parameters:
        trained, total = manifest.method.n_trainable, manifest.method.n_parameters
        note = f"{count(trained)} of {count(total)}"
        figures.append(_figure("Parameters trained", percent_of(trained, total), "", note))
    return figures


def _figure(label: str, value: str, unit: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "unit": unit, "note": note}


def _without_offset(folder: Results, name: str, energy: float) -> float | None:
    """The foundation's energy error on a set, its constant offset taken off: a model learns that
    first and for nothing. `None` where the figure is not of the frames of the run."""
    ending = folder.manifest.ending if folder.manifest is not None else None
    for one in ending.sets if ending is not None else ():
        if one.name == name and one.energy is not None and one.foundation_energy is not None:
            return one.foundation_energy if math.isclose(one.energy, energy, rel_tol=1e-3) else None
    return None


def _against(value: float, old: float | None, how: str = "") -> str:
    if old is None:
        return ""
    if not value or not old:
        return f"foundation{how} {number(old)}"
    ratio = old / value
    change = f"{number(ratio, 2)}× smaller" if ratio >= 1 else f"{number(1 / ratio, 2)}× larger"
    return f"foundation{how} {number(old)} · " + ("the same" if 0.995 < ratio < 1.005 else change)


def _licence(manifest: Manifest | None, folder: Results) -> dict[str, Any]:
    """The foundation's licence, which the fine-tuned model inherits, and what it forbids."""
    if folder.from_scratch:
        # Random weights owe nothing to the foundation's weights.
        return {
            "name": "none inherited",
            "text": "trained from random weights: no foundation licence applies to the model",
            "notice": "",
        }
    name = manifest.foundation.licence if manifest is not None else "unknown"
    source = manifest.foundation.name if manifest is not None else "the foundation"
    notice = ""
    if any(part in name.lower() for part in _NON_COMMERCIAL):
        notice = (
            f"Not for commercial use: the weights of {source} are under the {name}, and a model "
            "fine-tuned from them stays under it."
        )
    elif name.lower() == "unknown":
        notice = (
            f"The licence of {source} is not known. Find out before you pass the model on or use "
            "it commercially."
        )
    return {"name": name, "text": f"inherited from {source}", "notice": notice}


def asked(folder: Results, models: Models) -> list[tuple[str, str]]:
    """Rows of name and value."""
    rows = _of_run(folder.manifest, folder) if folder.manifest is not None else []
    rows += _of_test(folder, models)
    return [(name, value) for name, value in rows if value and value != MISSING]


def _of_run(manifest: Manifest, folder: Results) -> list[tuple[str, str]]:
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
        length = f"{count(training.steps)} updates ({training.epochs:,.4g} epochs)"
    spoken_splits = {"train": "training", "valid": "validation"}
    frames = [
        f"{count(_frames(manifest, split))} {spoken_splits.get(split, split)}"
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
    """The runs whose frames are among the training frames; else how they could be."""
    old = manifest.continued
    if old is None:
        return manifest.offer
    names = " and ".join(run.name for run in old.runs)
    return (
        f"{names}: {count(old.n_frames)} of the training frames, each with weight "
        f"{number(old.weight)} where a new one has 1"
    )


def _dispersion(manifest: Manifest) -> str:
    """Whether the labels hold it; empty where nobody said."""
    if manifest.data.dispersion_removed:
        removed = manifest.data.dispersion_removed
        return f"{removed} was taken from the labels: add it when the model is used"
    said = {
        "included": "in the labels: no D3 correction may be added to the model",
        "none": "not in the labels",
    }
    return said.get(manifest.data.dispersion, "")


def _of_test(folder: Results, models: Models) -> list[tuple[str, str]]:
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
