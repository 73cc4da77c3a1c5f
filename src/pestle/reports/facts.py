"""Data, method, replay, reference energies, settings and provenance as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ase.data import atomic_numbers

from pestle.progress import duration
from pestle.records.manifest import Range, SplitSummary
from pestle.records.parts import AtomicEnergies
from pestle.reports.models import HEADS
from pestle.reports.reading import Results
from pestle.wording import (
    MISSING,
    count,
    fixed,
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


# -- data ----------------------------------------------------------------------------------------
def _range(found: Range | None) -> str:
    """`9–24 (median 14.2)`, or the value where all are one."""
    if found is None:
        return MISSING
    low, high = plain(found.min), plain(found.max)
    if low == high:
        return low
    dash = " – " if "−" in low + high else "–"
    return f"{low}{dash}{high} (median {plain(found.median)})"


#: What the page says of a split → how it is found.
_OF_SPLIT: dict[str, Callable[[SplitSummary], str]] = {
    "Frames": lambda s: plain(s.n_frames),
    "of these isolated atoms": lambda s: plain(s.n_isolated_atoms),
    "Atoms per frame": lambda s: _range(s.n_atoms),
    "Atoms by element": lambda s: plain(s.elements),
    "Frames by config type": lambda s: plain(s.config_types),
    "Frames by head": lambda s: plain(s.heads),
    "Frames with labels": lambda s: plain(s.labels),
    "Periodic directions": lambda s: plain(s.periodicity),
    # E0s: rounded to a few digits they would hide what they are compared for.
    "Energies of isolated atoms (eV)": lambda s: (
        ", ".join(f"{k}\u00a0{fixed(e, 4)}" for k, e in s.isolated_atoms.items()) or MISSING
    ),
    "Energy (eV/atom)": lambda s: _range(s.ranges.energy_per_atom_eV),
    "Root mean square force (eV/Å)": lambda s: plain(s.ranges.force_rms_eV_per_A),
    "Largest force (eV/Å)": lambda s: plain(s.ranges.force_max_eV_per_A),
    "Largest stress component (eV/Å³)": lambda s: plain(s.ranges.stress_max_eV_per_A3),
    "Shortest distance (Å)": lambda s: plain(s.ranges.nearest_distance_A),
}
_SPLITS = {"train": "Training", "valid": "Validation", "test": "Test"}


def data_table(folder: Results) -> dict[str, Any] | None:
    """Return the content of the data as rows, with the splits as columns."""
    data = folder.manifest.data if folder.manifest is not None else None
    if data is None or not data.summary:
        return None
    splits = _ordered(data.summary)
    rows = [
        {"field": field, "cells": [find(data.summary[split]) for split in splits]}
        for field, find in _OF_SPLIT.items()
    ]
    if any(data.keys.get(split) for split in splits):
        cells = [_keys_in_words(data.keys.get(split, {})) for split in splits]
        rows.append({"field": "Keys of the labels", "cells": cells})
    # What no split has needs no row.
    rows = [row for row in rows if any(cell != MISSING for cell in row["cells"])]
    return {"splits": [_SPLITS.get(split, split) for split in splits], "rows": rows}


def _ordered(by_split: Iterable[str]) -> list[str]:
    """Names of the splits: training first."""
    order = list(_SPLITS)
    return sorted(by_split, key=lambda s: order.index(s) if s in order else len(order))


def _keys_in_words(keys: Mapping[str, Mapping[str, int]]) -> str:
    """`energy ← REF_energy (60)` for each label."""
    parts = [
        f"{label} ← {key} ({plain(n)})" for label, table in keys.items() for key, n in table.items()
    ]
    return "; ".join(parts) or MISSING


def data_files(folder: Results) -> list[dict[str, str]]:
    """Split, path and hash of every file."""
    files = folder.manifest.data.files if folder.manifest is not None else {}
    return [
        {"split": split, "path": entry.path, "sha256": entry.sha256}
        for split in _ordered(files)
        for entry in files[split]
    ]


# -- method and foundation -----------------------------------------------------------------------
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


# -- reference energies --------------------------------------------------------------------------
def _in_data(found: AtomicEnergies) -> list[str]:
    """Elements of the data: they have a shift; without a foundation all E0s are the data's."""
    names = [symbol for symbol in found.e0s if symbol in found.shift] or list(found.e0s)
    return sorted(names, key=lambda symbol: atomic_numbers.get(symbol, 0))


def e0_table(folder: Results) -> dict[str, Any] | None:
    """Rows of the elements in the data and a line about the others; `None` if nothing is known."""
    found = folder.manifest.reference_energies if folder.manifest is not None else None
    if found is None or not found.e0s:
        return None
    elements = _in_data(found)
    others = len(found.e0s) - len(elements)
    rows = []
    for symbol in elements:
        value, shift = found.e0s[symbol], found.shift.get(symbol)
        rows.append(
            {
                "element": symbol,
                "used": fixed(value, 4),
                "foundation": fixed(None if shift is None else value - shift, 4),
                "shift": fixed(shift, 4, sign=True),
                "kept": symbol in found.kept_from_foundation,
            }
        )
    return {
        "rows": rows,
        "others": (
            f"{others} more element{'s' if others > 1 else ''} of the foundation, in none of the "
            f"frames, keep{'' if others > 1 else 's'} the foundation's E0."
            if others
            else ""
        ),
    }


def e0_diagnostics(folder: Results) -> Rows:
    """Method, reason and how well the energies determine the E0s."""
    if folder.manifest is None:
        return []
    found = folder.manifest.reference_energies
    rows = [("Method", found.method), ("Reason", plain(found.reason))]
    if found.n_elements:
        free = found.null_space_text or "nothing: the energies determine every E0"
        rows += [
            ("Rank of the compositions", f"{found.rank} of {found.n_elements} elements"),
            ("Condition number", number(found.condition_number)),
            ("Not determined by the energies", free),
        ]
    before, after = found.spread_before_mev_per_atom, found.spread_after_mev_per_atom
    if before is not None or after is not None:
        text = f"{number(before)} → {number(after)} meV/atom"
        rows.append(("Spread of the foundation's energy error, before → after", text))
    error = found.zero_step_error_mev_per_atom
    if error is not None:
        rows.append(("Zero-step error (RMSE before the first update)", f"{number(error)} meV/atom"))
    return rows


def e0_comparison(folder: Results) -> dict[str, Any] | None:
    """All methods side by side: E0s of the data's elements (eV) and the zero-step error."""
    if folder.manifest is None or not folder.manifest.reference_energies_compared:
        return None
    used = folder.manifest.reference_energies
    elements = _in_data(used)
    rows = [
        {
            "method": method,
            "used": method == used.method,
            "e0s": [fixed(found.e0s.get(symbol), 4) for symbol in elements],
            "spread": number(found.spread_after_mev_per_atom),
            "error": number(found.zero_step_error_mev_per_atom),
        }
        for method, found in folder.manifest.reference_energies_compared.items()
    ]
    return {"elements": elements, "rows": rows}


# -- settings and provenance ---------------------------------------------------------------------
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
