"""Data, method, settings and provenance as rows."""

from __future__ import annotations

from typing import Any

from ase.data import atomic_numbers

from pestle.progress import duration
from pestle.records.wording import (
    MISSING,
    count,
    fixed,
    is_number,
    moment,
    number,
    percent_of,
    plain,
    setting_value,
    words,
)
from pestle.report.models import HEADS
from pestle.report.run_folder import RunFolder, nested, split_summaries

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
        {"part": p, "trainable": count(t), "total": count(n), "share": percent_of(t, n)}
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
    if folder.part("method").get("name") == "scratch":
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


def choice(folder: RunFolder) -> dict[str, Any] | None:
    """The method that `auto` chose, with reasons and what would change it; else `None`."""
    chosen = folder.part("method", "choice")
    if not chosen:
        return None
    return {
        "method": plain(chosen.get("method")),
        "reasons": _lines(chosen.get("reasons")),
        "would_change": _lines(chosen.get("would_change")),
    }


def heads(folder: RunFolder) -> str:
    """The heads where there are several, with what each is for."""
    names = folder.part("method").get("heads") or []
    if len(names) < 2:
        return ""
    return ", ".join(f"{name} ({HEADS[name]})" if name in HEADS else str(name) for name in names)


def own_labels(folder: RunFolder) -> bool:
    """Whether the replay labels are the foundation's own predictions."""
    return str(folder.part("method").get("name")).startswith("pseudolabel")


def replay(folder: RunFolder) -> dict[str, Any] | None:
    """Facts and notes of the replay set; `None` for methods without replay."""
    found = nested(folder.manifest, "replay")
    if not found:
        return None
    rows = [
        ("Labels", plain(found.get("labels"))),
        ("Structures in training", count(found.get("n_train"))),
        ("Structures held out", count(found.get("n_valid"))),
        ("Replay structures per target frame", setting_value(folder.setting("replay.ratio"))),
    ]
    return {
        "rows": [(name, value) for name, value in rows if value != MISSING],
        "notes": _lines(found.get("notes")),
    }


def _lines(value: Any) -> list[str]:
    return [str(line) for line in value if line] if isinstance(value, list) else []


def _in_data(e0s: dict[str, Any]) -> list[str]:
    """Elements of the data: they have a shift; without a foundation all E0s are the data's."""
    known = nested(e0s, "e0s")
    names = [s for s in known if s in nested(e0s, "shift")] or list(known)
    return sorted(names, key=lambda s: atomic_numbers.get(s, 0))


def e0_table(folder: RunFolder) -> dict[str, Any] | None:
    """Rows of the elements in the data and a line about the others; `None` if nothing is known."""
    e0s = folder.part("reference_energies")
    values, shifts = nested(e0s, "e0s"), nested(e0s, "shift")
    if not values:
        return None
    kept = set(e0s.get("kept_from_foundation") or [])
    elements = _in_data(e0s)
    rows = []
    for symbol in elements:
        value, shift = values.get(symbol), shifts.get(symbol)
        before = value - shift if is_number(value) and is_number(shift) else None
        rows.append(
            {
                "element": symbol,
                "used": fixed(value, 4),
                "foundation": fixed(before, 4),
                "shift": fixed(shift, 4, sign=True),
                "kept": symbol in kept,
            }
        )
    others = len(values) - len(elements)
    return {
        "rows": rows,
        "others": (
            f"{others} more element{'s' if others > 1 else ''} of the foundation, in none of the "
            f"frames, keep{'' if others > 1 else 's'} the foundation's E0."
            if others
            else ""
        ),
    }


def e0_diagnostics(folder: RunFolder) -> list[tuple[str, str]]:
    """Method, reason and how well the energies determine the E0s."""
    e0s = folder.part("reference_energies")
    if not e0s:
        return []
    rows = [("Method", plain(e0s.get("method"))), ("Reason", plain(e0s.get("reason")))]
    if is_number(e0s.get("rank")) and is_number(e0s.get("n_elements")):
        free = plain(e0s.get("null_space_text") or "nothing: the energies determine every E0")
        rows += [
            ("Rank of the compositions", f"{e0s['rank']} of {e0s['n_elements']} elements"),
            ("Condition number", number(e0s.get("condition_number"))),
            ("Not determined by the energies", free),
        ]
    before, after = e0s.get("spread_before_mev_per_atom"), e0s.get("spread_after_mev_per_atom")
    if is_number(before) or is_number(after):
        text = f"{number(before)} → {number(after)} meV/atom"
        rows.append(("Spread of the foundation's energy error, before → after", text))
    error = e0s.get("zero_step_error_mev_per_atom")
    if is_number(error):
        rows.append(("Zero-step error (RMSE before the first update)", f"{number(error)} meV/atom"))
    return rows


def e0_comparison(folder: RunFolder) -> dict[str, Any] | None:
    """All methods side by side: E0s of the data's elements (eV) and the zero-step error."""
    compared = {m: e for m, e in folder.part("reference_energies_compared").items() if nested(e)}
    if not compared:
        return None
    used = folder.part("reference_energies").get("method")
    elements = _in_data(folder.part("reference_energies")) or _in_data(
        next(iter(compared.values()))
    )
    rows = []
    for method, e0s in compared.items():
        rows.append(
            {
                "method": method,
                "used": method == used,
                "e0s": [fixed(nested(e0s, "e0s").get(symbol), 4) for symbol in elements],
                "spread": number(e0s.get("spread_after_mev_per_atom")),
                "error": number(e0s.get("zero_step_error_mev_per_atom")),
            }
        )
    return {"elements": elements, "rows": rows}


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


def model_files(folder: RunFolder) -> list[tuple[str, str]]:
    """File and purpose of those that are there."""
    return [(name, text) for name, text in PURPOSES.items() if name in folder.files]
