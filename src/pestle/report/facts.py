"""Data, method, settings and provenance as rows."""

from __future__ import annotations

from typing import Any

from pestle.progress import duration
from pestle.report.run_folder import RunFolder, nested, split_summaries
from pestle.report.wording import (
    MISSING,
    count,
    fixed,
    is_number,
    moment,
    number,
    plain,
    setting_value,
    share,
    words,
)

#: Field of a split's summary → how the page calls it, in this order. Others follow by their names.
FIELDS = {
    "n_frames": "Frames",
    "n_isolated_atoms": "of these isolated atoms",
    "n_atoms": "Atoms per frame",
    "elements": "Atoms by element",
    "config_types": "Frames by config type",
    "heads": "Frames by head",
    "labels": "Frames with labels",
    "periodicity": "Periodic directions",
    "isolated_atoms": "Energies of isolated atoms (eV)",
    "ranges.energy_per_atom_eV": "Energy (eV/atom)",
    "ranges.force_rms_eV_per_A": "Root mean square force (eV/Å)",
    "ranges.force_max_eV_per_A": "Largest force (eV/Å)",
    "ranges.stress_max_eV_per_A3": "Largest stress component (eV/Å³)",
    "ranges.nearest_distance_A": "Shortest distance (Å)",
}

_SPLITS = ("train", "valid", "test")


def data_table(folder: RunFolder) -> dict[str, Any] | None:
    """Fields of the summary in rows, splits in columns."""
    summary = split_summaries(folder)
    splits = [s for s in _ordered(summary) if nested(summary, s)]
    if not splits:
        return None
    flat = {s: _flat(summary[s]) for s in splits}
    found = dict.fromkeys(name for split in splits for name in flat[split])
    ordered = [n for n in FIELDS if n in found] + [n for n in found if n not in FIELDS]
    rows = [
        {
            "field": FIELDS.get(name, words(name)),
            "cells": [plain(flat[s].get(name)) for s in splits],
        }
        for name in ordered
    ]
    keys = folder.part("data", "keys")
    if any(nested(keys, s) for s in splits):
        cells = [_keys_in_words(nested(keys, s)) for s in splits]
        rows.append({"field": "Keys of the labels", "cells": cells})
    titles = {"train": "Training", "valid": "Validation", "test": "Test"}
    return {"splits": [titles.get(s, s) for s in splits], "rows": rows}


def _ordered(by_split: dict[str, Any]) -> list[str]:
    """Names of the splits: training first."""
    return [s for s in _SPLITS if s in by_split] + [s for s in by_split if s not in _SPLITS]


def _flat(summary: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects of objects opened, so that every cell is one line; ranges and counts stay whole."""
    rows: dict[str, Any] = {}
    for name, value in summary.items():
        grouped = isinstance(value, dict) and any(isinstance(v, dict) for v in value.values())
        if isinstance(value, dict) and (grouped or name == "ranges"):
            rows.update(_flat(value, f"{prefix}{name}."))
        elif name == "isolated_atoms" and isinstance(value, dict):
            # E0s: rounded to a few digits they would hide what they are compared for.
            rows[prefix + name] = ", ".join(f"{s}\u00a0{fixed(e, 4)}" for s, e in value.items())
        else:
            rows[prefix + name] = value
    return rows


def _keys_in_words(keys: dict[str, Any]) -> str:
    """`energy ← REF_energy (60)` for each label."""
    parts = [
        f"{label} ← {key} ({plain(n)})" for label, table in keys.items() for key, n in table.items()
    ]
    return "; ".join(parts) or MISSING


def data_files(folder: RunFolder) -> list[dict[str, str]]:
    """Split, path and hash of every file."""
    files = folder.part("data", "files")
    return [
        {
            "split": split,
            "path": str(entry.get("path") or MISSING),
            "sha256": str(entry.get("sha256") or MISSING),
        }
        for split in _ordered(files)
        for entry in files[split] or []
        if isinstance(entry, dict)
    ]


def blocks(folder: RunFolder) -> list[dict[str, str]]:
    """Trained and all parameters, by part of the architecture and in all."""
    method = folder.part("method")
    rows = [
        (part, numbers.get("trainable"), numbers.get("total"))
        for part, numbers in nested(method, "blocks").items()
    ]
    if is_number(method.get("n_parameters")):
        rows.append(("all", method.get("n_trainable"), method.get("n_parameters")))
    return [
        {"part": p, "trainable": count(t), "total": count(n), "share": share(t, n)}
        for p, t, n in rows
    ]


def foundation(folder: RunFolder) -> list[tuple[str, str]]:
    """What the run started from."""
    facts = folder.part("foundation")
    elements, heads = facts.get("elements") or [], facts.get("heads") or []
    rows = [
        ("Foundation", plain(facts.get("name"))),
        ("Licence", plain(facts.get("licence"))),
        ("Level of theory", plain(facts.get("level_of_theory"))),
        ("Parameters", count(facts.get("n_parameters"))),
        ("Elements", f"{len(elements)}: {' '.join(map(str, elements))}" if elements else MISSING),
        ("Head", f"{plain(facts.get('head'))} (of {plain(heads)})" if len(heads) > 1 else ""),
        ("Cutoff", f"{facts['cutoff']:g} Å" if is_number(facts.get("cutoff")) else ""),
        ("Precision", plain(facts.get("dtype"))),
        ("Fingerprint", plain(facts.get("fingerprint"))),
    ]
    return [(k, v) for k, v in rows if v and v != MISSING]


def settings(folder: RunFolder) -> list[dict[str, Any]]:
    """Every setting with value, unit and reason."""
    rows: list[dict[str, Any]] = []
    for name, entry in folder.part("settings").items():
        entry = entry if isinstance(entry, dict) else {"value": entry}
        value = setting_value(entry.get("value"))
        unit = str(entry.get("unit") or "")
        rows.append(
            {
                "name": name,
                "value": f"{value} {unit}" if unit and is_number(entry.get("value")) else value,
                "reason": str(entry.get("reason") or ""),
                "chosen": not str(entry.get("reason") or "default").startswith("default"),
            }
        )
    return rows


def provenance(folder: RunFolder) -> list[tuple[str, str]]:
    """When, on what and in which time it ran."""
    if not folder.manifest:
        return []
    top, training, plan = folder.manifest, folder.part("training"), folder.part("plan")
    rows = [
        ("Pestle", plain(top.get("pestle"))),
        ("Started", moment(top.get("started"))),
        ("Finished", moment(top.get("finished"))),
        ("Status", ": ".join(str(top[k]) for k in ("status", "status_detail") if top.get(k))),
    ]
    hardware = {"cpu": "CPU", "gpu": "GPU"}
    rows += [
        (hardware.get(k, words(k).capitalize()), plain(v))
        for k, v in folder.part("hardware").items()
    ]
    if is_number(training.get("seconds")):
        rows.append(("Training time", duration(training["seconds"])))
    if is_number(plan.get("estimated_seconds")):
        rows.append(("Time estimated before", duration(plan["estimated_seconds"])))
    if is_number(plan.get("steps")):
        rows.append(
            (
                "Updates planned at most",
                f"{count(plan['steps'])} ({plain(plan.get('epochs'))} epochs of "
                f"{count(plan.get('steps_per_epoch'))})",
            )
        )
    if is_number(training.get("steps")):
        rows.append(("Updates done", count(training["steps"])))
    if is_number(plan.get("seconds_per_step")):
        rows.append(
            ("Time per update, measured before", f"{1e3 * plan['seconds_per_step']:.0f} ms")
        )
    if is_number(plan.get("memory_mib")):
        rows.append(("Memory, measured before", f"{count(plan['memory_mib'])} MiB"))
    rows.append(("Zero-step gate", _gate(folder)))
    return [(k, v) for k, v in rows if v and v != MISSING]


def _gate(folder: RunFolder) -> str:
    """The gate's result, or why there is none."""
    gate = folder.part("gate")
    if gate:
        return (
            f"passed on {count(gate.get('n_frames'))} frames; largest deviation from the "
            f"foundation {number(gate.get('energy'), 2)} eV/atom, {number(gate.get('forces'), 2)} "
            f"eV/Å, {number(gate.get('stress'), 2)} eV/Å³"
        )
    if folder.from_scratch:
        return "does not apply: random weights cannot reproduce the foundation"
    return "no result: the run did not get that far"


def versions(folder: RunFolder) -> list[tuple[str, str]]:
    """Name and version of the libraries."""
    found = folder.part("versions") or nested(folder.verdict, "versions")
    return [(name, str(version)) for name, version in found.items()]


def commands(folder: RunFolder) -> list[tuple[str, str]]:
    """What was typed: title and command line of the run and of its tests."""
    typed = [("The run", folder.manifest.get("command"))]
    typed += [("The tests", folder.verdict.get("command"))]
    return [(title, str(command)) for title, command in typed if command]
