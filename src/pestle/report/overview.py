"""The head of the page: one sentence, the status, the figures to remember, the licence."""

from __future__ import annotations

import math
from typing import Any

from pestle.foundations.catalogue import ASL
from pestle.progress import duration
from pestle.records.wording import MISSING, count, is_number, moment, number, percent_of, plain
from pestle.report.curves import best_record, chosen_by, metric_in_words, watched, watched_in_words
from pestle.report.drift import best_drift
from pestle.report.error_tables import QUANTITIES, set_in_words, set_names
from pestle.report.models import REPLAY_SET, Models
from pestle.report.run_folder import RunFolder, nested, split_summaries
from pestle.report.verdict import SCOPES

_STATUS = {
    "finished": ("good", "finished"),
    "aborted": ("bad", "aborted"),
    "interrupted": ("warn", "interrupted"),
    "running": ("warn", "running"),
}

#: Methods whose name alone says little or reads badly.
METHODS = {
    "lora": "LoRA fine-tuning",
    "multihead": "multihead replay fine-tuning",
    "pseudolabel": "pseudolabelled replay fine-tuning",
    "multihead-lora": "multihead replay fine-tuning with LoRA",
    "pseudolabel-lora": "pseudolabelled replay fine-tuning with LoRA",
}

#: Parts of a licence's name that mean: not for commercial use.
_NON_COMMERCIAL = (ASL.lower(), "academic", "non-commercial", "noncommercial", "-nc")


def overview(folder: RunFolder, models: Models) -> dict[str, Any]:
    """Everything above the first section."""
    kind, label = status_of(folder)
    started, finished = folder.manifest.get("started"), folder.manifest.get("finished")
    when = finished or started or folder.timings.get("when")
    status = {
        "kind": kind,
        "label": label,
        "detail": str(folder.manifest.get("status_detail") or ""),
    }
    return {
        "name": folder.name,
        "sentence": sentence(folder, models) if folder.is_run else _tests(folder, models),
        "status": status if folder.is_run else None,
        "ending": _ending(folder),
        "when": moment(when) if when else "",
        "figures": key_figures(folder, models),
        "licence": licence(folder) if folder.is_run else None,
    }


def status_of(folder: RunFolder) -> tuple[str, str]:
    """Kind of colour and words. A run that ended in vain is no success, though it finished."""
    said = str(folder.manifest.get("status") or "unknown")
    trouble = folder.ending.trouble if folder.ending is not None else None
    if said == "finished" and trouble is not None:
        return "warn", f"finished: {trouble.title}"
    return _STATUS.get(said, ("warn", said))


def _ending(folder: RunFolder) -> dict[str, Any] | None:
    """Title and warning where something is wrong, and the three lines."""
    ending = folder.ending
    if ending is None:
        return None
    lines = ending.lines(folder.path)
    trouble = ending.trouble
    return {
        "title": trouble.title.capitalize() if trouble else "",
        "warning": trouble.sentence[:1].upper() + trouble.sentence[1:] if trouble else "",
        "next": lines["next"],
        "lines": [(about.capitalize(), line) for about, line in lines.items()],
    }


def _tests(folder: RunFolder, models: Models) -> str:
    """What a folder without a run is about."""
    n = len(folder.protocols)
    text = f"{n} physical test{'' if n == 1 else 's'} of {folder.name}"
    base = folder.verdict.get("baseline")
    return f"{text}, compared with {models.label(str(base))}." if base else f"{text}."


def best_set(folder: RunFolder, models: Models) -> str | None:
    """The set whose errors say most: test, else validation, else training."""
    sets = nested(folder.errors, "sets")
    names = [name for name in set_names(sets) if name != REPLAY_SET]
    return next((s for s in names if nested(sets, s, models.tuned, "all")), None)


def sentence(folder: RunFolder, models: Models) -> str:
    """What was done and what came of it, in plain words."""
    method = str(folder.part("method").get("name") or "")
    foundation = str(folder.part("foundation").get("name") or "")
    if method == "scratch":
        text = "Training from scratch" + (f" in the shape of {foundation}" if foundation else "")
    elif method:
        text = METHODS.get(method, f"{method} fine-tuning")
        text += f" of {foundation}" if foundation else ""
    else:
        text = f"Fine-tuning of {foundation}" if foundation else "A fine-tuning run"
    train = nested(split_summaries(folder), "train")
    frames = train.get("n_frames")
    if is_number(frames):
        # Isolated atoms give reference energies; they are no frames one would count.
        frames -= train.get("n_isolated_atoms") or 0
        text += f" on {count(frames)} frame{'' if frames == 1 else 's'}"
    return f"{text[0].upper()}{text[1:]}: {_outcome(folder, models)}."


def _outcome(folder: RunFolder, models: Models) -> str:
    chosen = best_set(folder, models)
    method = folder.part("method").get("name")
    if chosen:
        sets = nested(folder.errors, "sets")
        errors = nested(sets, chosen, models.tuned, "all")
        base = nested(sets, chosen, models.base, "all")
        for quantity, word in (("forces", "force"), ("energy", "energy")):
            value, old = errors.get(f"{quantity}_rmse"), base.get(f"{quantity}_rmse")
            if is_number(value):
                if quantity == "energy":
                    old = _without_offset(folder, chosen, value) or old
                unit = QUANTITIES[quantity][1]
                word_before = "the foundation" if method == "scratch" else "foundation before"
                before = f", {word_before} {number(old)}" if is_number(old) else ""
                where = set_in_words(chosen)
                return f"{word} error on the {where} {number(value)} {unit}{before}"
    valid = watched(best_record(folder))
    if is_number(valid.get("forces_rmse")):
        return (
            f"force error on the {watched_in_words(folder).removesuffix(' frames')} frames "
            f"{number(valid['forces_rmse'])} meV/Å at the epoch kept so far; the errors "
            "by group were not calculated"
        )
    return "no error has been calculated"


def key_figures(folder: RunFolder, models: Models) -> list[dict[str, str]]:
    """Label, value, unit and a note each."""
    figures = []
    chosen = best_set(folder, models)
    if chosen:
        sets = nested(folder.errors, "sets")
        errors = nested(sets, chosen, models.tuned, "all")
        base = nested(sets, chosen, models.base, "all")
        for quantity, (heading, unit) in QUANTITIES.items():
            value, old = errors.get(f"{quantity}_rmse"), base.get(f"{quantity}_rmse")
            if is_number(value):
                label = f"{heading} RMSE, {set_in_words(chosen)}"
                note = _against(value, old)
                bare = _without_offset(folder, chosen, value) if quantity == "energy" else None
                if bare is not None:
                    note = _against(value, bare, " less its constant offset")
                figures.append(_figure(label, number(value), unit, note))
    training, method = folder.part("training"), folder.part("method")
    if is_number(training.get("best_update")):
        steps = training.get("steps")
        note = ""
        if training.get("best_metric"):
            metric, metric_unit = metric_in_words(training["best_metric"])
            note = (
                f"{chosen_by(folder)} {metric} {number(training.get('best_value'))} {metric_unit}"
            )
        unit = f"of {count(steps)}" if is_number(steps) else ""
        label = "Last update, kept" if training.get("kept") == "last" else "Best update"
        figures.append(_figure(label, count(training["best_update"]), unit, note.strip()))
    moved = best_drift(folder)
    if moved:
        figures.append(_figure("Force drift of the kept model", *moved))
    if is_number(training.get("seconds")):
        device = folder.part("hardware").get("gpu") or folder.part("hardware").get("cpu") or ""
        steps = training.get("steps")
        note = f"{count(steps)} steps" if is_number(steps) else ""
        note = " · ".join(part for part in (note, str(device)) if part)
        figures.append(_figure("Training time", duration(training["seconds"]), "", note))
    if is_number(method.get("n_trainable")):
        total = method.get("n_parameters")
        note = f"{count(method['n_trainable'])} of {count(total)}"
        figures.append(
            _figure("Parameters trained", percent_of(method["n_trainable"], total), "", note)
        )
    return figures


def _figure(label: str, value: str, unit: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "unit": unit, "note": note}


def _without_offset(folder: RunFolder, name: str, energy: float) -> float | None:
    """The foundation's energy error on a set, its constant offset taken off: a model learns that
    first and for nothing. `None` where the figure is not of the frames of the run."""
    for one in folder.ending.sets if folder.ending is not None else ():
        if one.name == name and one.energy is not None and one.foundation_energy is not None:
            return one.foundation_energy if math.isclose(one.energy, energy, rel_tol=1e-3) else None
    return None


def _against(value: float, old: Any, how: str = "") -> str:
    if not is_number(old):
        return ""
    if not value or not old:
        return f"foundation{how} {number(old)}"
    ratio = old / value
    change = f"{number(ratio, 2)}× smaller" if ratio >= 1 else f"{number(1 / ratio, 2)}× larger"
    return f"foundation{how} {number(old)} · " + ("the same" if 0.995 < ratio < 1.005 else change)


def licence(folder: RunFolder) -> dict[str, Any]:
    """The foundation's licence, which the fine-tuned model inherits, and what it forbids."""
    foundation = folder.part("foundation")
    name = str(foundation.get("licence") or "unknown")
    if folder.part("method").get("name") == "scratch":
        # Random weights owe nothing to the foundation's weights.
        return {
            "name": "none inherited",
            "text": "trained from random weights: no foundation licence applies to the model",
            "notice": "",
        }
    source = str(foundation.get("name") or "the foundation")
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


def asked(folder: RunFolder, models: Models) -> list[tuple[str, str]]:
    """Rows of name and value."""
    rows = [*(_of_run(folder) if folder.is_run else []), *_of_test(folder, models)]
    return [(name, value) for name, value in rows if value and value != MISSING]


def _of_run(folder: RunFolder) -> list[tuple[str, str]]:
    method, foundation = folder.part("method"), folder.part("foundation")
    name = str(method.get("name") or "")
    spoken = METHODS.get(name, f"{name} fine-tuning" if name != "scratch" else "from scratch")
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
