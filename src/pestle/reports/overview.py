"""The head of the page: a sentence, the status, key figures and the licence."""

from __future__ import annotations

import math
from typing import Any

from pestle.foundations.catalogue import ASL
from pestle.progress import duration
from pestle.records.ending import Ending
from pestle.records.manifest import Manifest
from pestle.records.set_errors import SetErrors, change_in_words
from pestle.reports.asked import frames_in
from pestle.reports.curves import best_record, chosen_by, metric_in_words, watched, watched_in_words
from pestle.reports.drift import best_drift
from pestle.reports.error_tables import ENERGY, FORCES, QUANTITIES, set_in_words, telling
from pestle.reports.models import Models
from pestle.reports.reading import Results
from pestle.wording import count, counted, moment, number, percent_of

_STATUS = {
    "finished": ("good", "finished"),
    "aborted": ("bad", "aborted"),
    "interrupted": ("warn", "interrupted"),
    "running": ("warn", "running"),
}

#: Parts of the name of a licence that forbids commercial use.
_NON_COMMERCIAL = (ASL.lower(), "academic", "non-commercial", "noncommercial", "-nc")


def overview(folder: Results, models: Models) -> dict[str, Any]:
    """Return everything above the first section, for the template.

    Args:
        folder: results of the run.
        models: names of the potentials.
    """
    manifest = folder.manifest
    kind, label = status_of(folder)
    when = folder.timings.when if folder.timings is not None else None
    if manifest is not None:
        when = manifest.finished or manifest.started
    # The status of a finished run is explained in the section `provenance`.
    told = manifest is not None and manifest.status != "finished"
    detail = manifest.status_detail if manifest is not None and told else ""
    ending = manifest.ending if manifest is not None else None
    text = f"{counted(len(folder.protocols), 'physical test')} of {folder.name}"
    base = folder.verdict.baseline if folder.verdict is not None else None
    tests = f"{text}, compared with {models.label(base)}." if base else f"{text}."
    return {
        "name": folder.name,
        "sentence": sentence(folder, models) if folder.is_run else tests,
        "status": {"kind": kind, "label": label, "detail": detail} if folder.is_run else None,
        "ending": _ending(ending, folder) if ending is not None else None,
        "when": moment(when) if when else "",
        "figures": key_figures(folder, models),
        "licence": _licence(manifest, folder) if folder.is_run else None,
    }


def status_of(folder: Results) -> tuple[str, str]:
    """Return the status of a run: kind of colour, and words.

    A run that finished with a bad model has the colour of a warning.
    """
    if folder.manifest is None:
        return "warn", "unknown"
    ending, said = folder.manifest.ending, folder.manifest.status
    if said == "finished" and ending is not None and ending.trouble is not None:
        return "warn", f"finished: {ending.title}"
    return _STATUS.get(said, ("warn", said))


def _ending(ending: Ending, folder: Results) -> dict[str, Any]:
    """Return title and warning if something is wrong, and the lines at the end of the run.

    A warning that is also a finding is left out. If the model is qualified, the verdict says what
    to do next, and its tests how much breadth was lost.
    """
    lines, trouble = ending.lines(folder.path), ending.trouble
    found = folder.verdict.findings if folder.verdict is not None else ()
    if folder.verdict is not None and folder.verdict.use is not None:
        del lines["next"]
        if ending.breadth.drift is None and not ending.from_scratch:
            del lines["breadth"]
    # The head of a page without a verdict says already how to get one.
    if folder.verdict is None and lines.get("next", "").startswith("pestle qualify"):
        del lines["next"]
    if trouble is not None and any(trouble.what in finding.sentence for finding in found):
        trouble = None
    return {
        "title": ending.title[:1].upper() + ending.title[1:] if trouble else "",
        "warning": trouble.sentence[:1].upper() + trouble.sentence[1:] if trouble else "",
        "lines": [(about.capitalize(), line) for about, line in lines.items()],
    }


def sentence(folder: Results, models: Models) -> str:
    """Return what was done and its result, in one sentence.

    Args:
        folder: results of the run.
        models: names of the potentials.
    """
    manifest = folder.manifest
    if manifest is None:
        return f"A fine-tuning run: {_outcome(folder, models)}."
    link = "in the shape of" if folder.from_scratch else "of"
    text = f"{folder.method_in_words} {link} {manifest.foundation.name}"
    if "train" in manifest.data.summary:
        frames = frames_in(manifest, "train")
        text += f" on {counted(frames, 'frame')}"
    text = f"{text[0].upper()}{text[1:]}"
    # An ending says itself what was learned.
    return f"{text}." if manifest.ending is not None else f"{text}: {_outcome(folder, models)}."


def _outcome(folder: Results, models: Models) -> str:
    """Return the error of the model on the most informative set, in words."""
    found = telling(folder, models)
    for q in (FORCES, ENERGY) if found is not None else ():
        assert found is not None
        value = q.rmse(found.tuned)
        if value is not None:
            old = None if found.base is None else q.rmse(found.base)
            if q is ENERGY:
                bare = _without_offset(folder, found.name, value)
                old = old if bare is None else bare.foundation_energy
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
    """Return the key figures: label, value, unit and note of each.

    Args:
        folder: results of the run.
        models: names of the potentials.
    """
    figures = []
    found = telling(folder, models)
    for q in QUANTITIES if found is not None else ():
        assert found is not None
        value = q.rmse(found.tuned)
        if value is not None:
            note = _against(value, None if found.base is None else q.rmse(found.base))
            bare = _without_offset(folder, found.name, value) if q is ENERGY else None
            if bare is not None and bare.foundation_energy is not None:
                note = _against(value, bare.foundation_energy, bare.energy_before)
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
        note = " · ".join(part for part in (counted(training.steps, "update"), device) if part)
        figures.append(_figure("Training time", duration(training.seconds), "", note))
    if manifest is not None and manifest.method.n_parameters:
        trained, total = manifest.method.n_trainable, manifest.method.n_parameters
        note = f"{count(trained)} of {count(total)}"
        figures.append(_figure("Parameters trained", percent_of(trained, total), "", note))
    return figures


def _figure(label: str, value: str, unit: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "unit": unit, "note": note}


def _without_offset(folder: Results, name: str, energy: float) -> SetErrors | None:
    """Return the errors on a set with the foundation's energy RMSE after subtraction of its
    constant offset.

    The comparison is fairer, as any training removes the offset at once.

    Args:
        folder: results of the run.
        name: name of the set.
        energy: energy RMSE of the model on this set (meV/atom).

    Returns:
        The errors; `None` if `energy` is not the error that the run itself found.
    """
    ending = folder.manifest.ending if folder.manifest is not None else None
    for one in ending.sets if ending is not None else ():
        if one.name == name and one.energy is not None and one.foundation_energy is not None:
            return one if math.isclose(one.energy, energy, rel_tol=1e-3) else None
    return None


def _against(value: float, old: float | None, said: str = "") -> str:
    """Return the foundation's error, in the given words if there are any, and how much smaller or
    larger the model's is.
    """
    if old is None:
        return ""
    said = said or number(old)
    if not value or not old:
        return f"foundation {said}"
    return f"foundation {said} · {change_in_words(value, old)}"


def _licence(manifest: Manifest | None, folder: Results) -> dict[str, Any]:
    """Return the licence, which the model inherits from the foundation, and what it forbids."""
    if folder.from_scratch:
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
