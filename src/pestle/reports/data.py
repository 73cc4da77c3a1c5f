"""The data of a run as rows of the page: content of the splits, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pestle.records.data import Range, SplitSummary
from pestle.reports.reading import Results
from pestle.wording import MISSING, fixed, plain


def _range(found: Range | None) -> str:
    """Return a range: `9–24 (median 14.2)`, or one value if all are equal."""
    if found is None:
        return MISSING
    low, high = plain(found.min), plain(found.max)
    if low == high:
        return low
    dash = " – " if "−" in low + high else "–"
    return f"{low}{dash}{high} (median {plain(found.median)})"


#: Title of a row → its text for a split.
_OF_SPLIT: dict[str, Callable[[SplitSummary], str]] = {
    "Frames": lambda s: plain(s.n_frames),
    "of these isolated atoms": lambda s: plain(s.n_isolated_atoms),
    "Atoms per frame": lambda s: _range(s.n_atoms),
    "Atoms by element": lambda s: plain(s.elements),
    "Frames by config type": lambda s: plain(s.config_types),
    "Frames by head": lambda s: plain(s.heads),
    "Frames with labels": lambda s: s.labels_in_words,
    "Periodic directions": lambda s: plain(s.periodicity),
    # E0s are compared digit by digit, so they have four decimals.
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
    """Return the content of the data: a row for each property, a column for each split.

    Args:
        folder: results of the run.

    Returns:
        Titles of the columns, and rows; `None` if nothing is recorded.
    """
    data = folder.manifest.data if folder.manifest is not None else None
    if data is None or not data.summary:
        return None
    splits = _ordered(data.summary)
    rows = [
        {"field": field, "cells": [find(data.summary[split]) for split in splits]}
        for field, find in _OF_SPLIT.items()
    ]
    if any(data.keys.get(split) for split in splits):
        # `energy ← REF_energy (60)` for each label.
        cells = [
            "; ".join(
                f"{label} ← {key} ({plain(n)})"
                for label, table in data.keys.get(split, {}).items()
                for key, n in table.items()
            )
            or MISSING
            for split in splits
        ]
        rows.append({"field": "Keys of the labels", "cells": cells})
    # Rows that are empty for all splits are left out.
    rows = [row for row in rows if any(cell != MISSING for cell in row["cells"])]
    return {"splits": [_SPLITS.get(split, split) for split in splits], "rows": rows}


def _ordered(by_split: Iterable[str]) -> list[str]:
    """Return the names of the splits, training first."""
    order = list(_SPLITS)
    return sorted(by_split, key=lambda s: order.index(s) if s in order else len(order))


def data_files(folder: Results) -> list[dict[str, str]]:
    """Return split, path and SHA-256 of every file of the data."""
    files = folder.manifest.data.files if folder.manifest is not None else {}
    return [
        {"split": split, "path": entry.path, "sha256": entry.sha256}
        for split in _ordered(files)
        for entry in files[split]
    ]
