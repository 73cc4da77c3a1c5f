"""Method, replay, foundation, settings and provenance of a run as rows of the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pestle.progress import duration
from pestle.reports.models import HEADS
from pestle.reports.reading import Results
from pestle.wording import (
    MISSING,
    count,
    counted,
    is_number,
    moment,
    number,
    percent_of,
    plain,
    setting_value,
)

Rows = list[tuple[str, str]]


def _known(rows: Iterable[tuple[str, str]]) -> Rows:
    """Return the rows that have a value."""
    return [(name, value) for name, value in rows if value and value != MISSING]


def blocks(folder: Results) -> list[dict[str, str]]:
    """Return the numbers of trained and of all parameters, by part of the architecture."""
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
    """Return the heads with their purpose; empty if there is only one."""
    names = folder.manifest.method.heads if folder.manifest is not None else ()
    if len(names) < 2:
        return ""
    return ", ".join(f"{name} ({HEADS[name]})" if name in HEADS else name for name in names)


def own_labels(folder: Results) -> bool:
    """Whether the replay labels are the foundation's own predictions."""
    return folder.method is not None and folder.method.pseudolabels


def replay(folder: Results) -> dict[str, Any] | None:
    """Return rows and notes about the replay set; `None` for methods without replay."""
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


#: File of the run folder → its purpose.
PURPOSES = {
    "model/weights.safetensors": (
        "the weights of all heads of the model; LoRA is merged into them. Pestle loads this file "
        "and architecture.json if you give it this folder. It contains no code"
    ),
    "model/architecture.json": "elements, heads and layers of the model. It contains no code",
    "model/card.json": "information about the model: foundation, licence, data, E0s, errors",
    "model/pestle.model": (
        "only the target head, for MACECalculator and similar programs. A pickle: load it only "
        "if you trust its source"
    ),
    "model/pestle-heads.model": (
        "all heads, for MACECalculator(head=…); without a name it takes Default, the last one. "
        "Also a pickle"
    ),
    "model/pestle.nqx": "only the target head, for Nequix's own calculator. It contains no code",
    "model/adapter.safetensors": (
        "only the LoRA update; added to the foundation with the same fingerprint it gives this "
        "model"
    ),
    "replay/train.xyz": "the replay structures that were trained on, with the labels used",
    "replay/valid.xyz": "the replay structures that were held out, with the labels used",
}


def model_files(folder: Results) -> Rows:
    """Return file and purpose of the model files that exist."""
    return [(name, text) for name, text in PURPOSES.items() if name in folder.files]


def settings(folder: Results) -> list[dict[str, Any]]:
    """Return every setting with value, unit and reason."""
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
    """Return rows about machine, times and length of a run, and its zero-step gate."""
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
        most = f"{counted(plan.epochs, 'epoch')} of {count(plan.steps_per_epoch)}"
        if plan.estimated_seconds is not None:
            rows.append(("Time estimated before", duration(plan.estimated_seconds)))
        rows.append(("Updates planned at most", f"{count(plan.steps)} ({most})"))
    if found.training is not None:
        rows.append(("Updates done", count(found.training.steps)))
    if found.plan is not None:
        each, memory = found.plan.seconds_per_step, found.plan.memory_mib
        if each is not None:
            rows.append(("Time per update, measured before", f"{1e3 * each:.0f} ms"))
        if memory is not None:
            rows.append(("Memory, measured before", f"{count(memory)} MiB"))
    if found.gate is not None:
        gate = (
            f"passed on {counted(found.gate.n_frames, 'frame')}; largest deviation from the "
            f"foundation {number(found.gate.energy, 2)} eV/atom, {number(found.gate.forces, 2)} "
            f"eV/Å, {number(found.gate.stress, 2)} eV/Å³"
        )
    elif folder.from_scratch:
        gate = "does not apply: random weights cannot reproduce the foundation"
    else:
        gate = "no result: the run did not get that far"
    return _known([*rows, ("Zero-step gate", gate)])


def versions(folder: Results) -> Rows:
    """Return name and version of the packages."""
    found = dict(folder.manifest.versions) if folder.manifest is not None else {}
    return list((found or (folder.verdict.versions if folder.verdict is not None else {})).items())


def commands(folder: Results) -> Rows:
    """Return title and command line of the run and of its tests."""
    run = folder.manifest.command if folder.manifest is not None else ""
    tests = folder.verdict.command if folder.verdict is not None else ""
    return _known([("The run", run), ("The tests", tests)])
