"""Method, replay, foundation, settings and provenance of a run as rows of the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pestle.progress import duration
from pestle.records.wording import (
    MISSING,
    count,
    is_number,
    moment,
    number,
    percent_of,
    plain,
    setting_value,
)
from pestle.reports.models import HEADS
from pestle.reports.reading import Results

Rows = list[tuple[str, str]]


def _known(rows: Iterable[tuple[str, str]]) -> Rows:
    """Return the rows that have a value."""
    return [(name, value) for name, value in rows if value and value != MISSING]


def blocks(folder: Results) -> list[dict[str, str]]:
    """Trained and all parameters, by part of the architecture and in all."""
    if folder.manifest is None:
        return []
    method = folder.manifest.method
    rows = [(part, block.trainable, block.total) for part, block in method.blocks.items()]
    if method.n_parameters:
        rows.append(("all", method.n_trainable, method.n_parameters))
    return [
        {"part": part, "trainable": count(t), "total": count(n), "share": percent_of(t, n)}
        for part, t, n in rows
    ]


def heads(folder: Results) -> str:
    """The heads where there are several, with what each is for."""
    names = folder.manifest.method.heads if folder.manifest is not None else ()
    if len(names) < 2:
        return ""
    return ", ".join(f"{name} ({HEADS[name]})" if name in HEADS else name for name in names)


def own_labels(folder: Results) -> bool:
    """Whether the replay labels are the foundation's own predictions."""
    return folder.method is not None and folder.method.pseudolabels


def replay(folder: Results) -> dict[str, Any] | None:
    """Facts and notes of the replay set; `None` for methods without replay."""
    found = folder.manifest.replay if folder.manifest is not None else None
    if found is None:
        return None
    rows = [
        ("Labels", found.labels),
        ("Structures in training", count(found.n_train)),
        ("Structures held out", count(found.n_valid)),
        ("Replay structures per target frame", setting_value(folder.setting("replay.ratio"))),
    ]
    return {"rows": _known(rows), "notes": found.notes}


def foundation(folder: Results) -> Rows:
    """Return rows about the foundation that the run started from."""
    if folder.manifest is None:
        return []
    facts, ancestry = folder.manifest.foundation, folder.manifest.ancestry
    elements = f"{len(facts.elements)}: {' '.join(facts.elements)}" if facts.elements else ""
    several = len(facts.heads) > 1
    return _known(
        [
            ("Foundation", facts.name),
            ("Licence", facts.licence),
            ("Level of theory", facts.level_of_theory),
            ("Parameters", count(facts.n_parameters) if facts.n_parameters else ""),
            ("Elements", elements),
            ("Head", f"{plain(facts.head)} (of {plain(facts.heads)})" if several else ""),
            ("Cutoff", f"{facts.cutoff:g} Å" if facts.cutoff else ""),
            ("Precision", facts.dtype),
            ("Fingerprint", facts.fingerprint),
            ("Made from", " → ".join(one.words for one in ancestry[:-1])),
        ]
    )


#: File of the run folder → what it is for.
PURPOSES = {
    "model/weights.safetensors": (
        "the weights of the model, all heads; LoRA is merged into them. With architecture.json it "
        "is what Pestle loads when it is given this folder. No code in it"
    ),
    "model/architecture.json": "the shape of the model: elements, heads, layers. No code in it",
    "model/card.json": "what is known of the model: foundation, licence, data, E0s, errors",
    "model/pestle.model": (
        "the target head alone, for MACECalculator and programs like it. A pickle: load it only "
        "where you trust its source"
    ),
    "model/pestle-heads.model": (
        "all heads, for MACECalculator(head=…); without a name it takes Default, the last. A "
        "pickle as well"
    ),
    "model/pestle.nqx": "the target head alone, for Nequix's own calculator. No code in it",
    "model/adapter.safetensors": (
        "the LoRA update alone: on the foundation with the same fingerprint it gives this model"
    ),
    "replay/train.xyz": "the replay structures that were trained on, with the labels used",
    "replay/valid.xyz": "the replay structures that were held out, with the labels used",
}


def model_files(folder: Results) -> Rows:
    """Return file and purpose of the model files that exist."""
    return [(name, text) for name, text in PURPOSES.items() if name in folder.files]


def settings(folder: Results) -> list[dict[str, Any]]:
    """Every setting with value, unit and reason."""
    rows: list[dict[str, Any]] = []
    for name, entry in folder.manifest.settings.items() if folder.manifest is not None else ():
        value = setting_value(entry.value)
        rows.append(
            {
                "name": name,
                "value": f"{value} {entry.unit}"
                if entry.unit and is_number(entry.value)
                else value,
                "reason": entry.reason,
                "chosen": not (entry.reason or "default").startswith("default"),
            }
        )
    return rows


def provenance(folder: Results) -> Rows:
    """When, on what and in which time it ran."""
    found = folder.manifest
    if found is None:
        return []
    rows = [
        ("Pestle", found.pestle),
        ("Started", moment(found.started)),
        ("Finished", moment(found.finished)),
        ("Status", ": ".join(text for text in (found.status, found.status_detail) if text)),
    ]
    if found.hardware is not None:
        machine = found.hardware
        rows += [
            ("CPU", machine.cpu),
            ("Cores", plain(machine.cores)),
            ("Threads", plain(machine.threads)),
            ("Device", machine.device),
            ("GPU", plain(machine.gpu)),
            ("System", machine.system),
        ]
    if found.training is not None:
        rows.append(("Training time", duration(found.training.seconds)))
    if found.plan is not None:
        plan = found.plan
        most = f"{plain(plan.epochs)} epochs of {count(plan.steps_per_epoch)}"
        rows.append(("Time estimated before", duration(plan.estimated_seconds)))
        rows.append(("Updates planned at most", f"{count(plan.steps)} ({most})"))
    if found.training is not None:
        rows.append(("Updates done", count(found.training.steps)))
    if found.plan is not None:
        each, memory = found.plan.seconds_per_step, found.plan.memory_mib
        rows.append(("Time per update, measured before", f"{1e3 * each:.0f} ms"))
        if memory is not None:
            rows.append(("Memory, measured before", f"{count(memory)} MiB"))
    if found.gate is not None:
        gate = (
            f"passed on {count(found.gate.n_frames)} frames; largest deviation from the "
            f"foundation {number(found.gate.energy, 2)} eV/atom, {number(found.gate.forces, 2)} "
            f"eV/Å, {number(found.gate.stress, 2)} eV/Å³"
        )
    elif folder.from_scratch:
        gate = "does not apply: random weights cannot reproduce the foundation"
    else:
        gate = "no result: the run did not get that far"
    return _known([*rows, ("Zero-step gate", gate)])


def versions(folder: Results) -> Rows:
    """Name and version of the libraries."""
    found = dict(folder.manifest.versions) if folder.manifest is not None else {}
    return list((found or (folder.verdict.versions if folder.verdict is not None else {})).items())


def commands(folder: Results) -> Rows:
    """Return title and command line of the run and of its tests."""
    run = folder.manifest.command if folder.manifest is not None else ""
    tests = folder.verdict.command if folder.verdict is not None else ""
    return _known([("The run", run), ("The tests", tests)])
