"""What is in the data: counts, ranges and keys, as a JSON-able dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from pestle.structures.frame import Frame
from pestle.structures.pairs import Pairs


def summary_of(
    splits: Mapping[str, Sequence[Frame]],
    pairs: Mapping[int, Pairs],
    keys: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """`{"splits": {name: …}, "keys": …}`.

    Args:
        splits: all frames, broken ones included; what is not finite is left out of the ranges.
        pairs: neighbour pairs by `id` of the frame, for the frames that have them.
        keys: the label keys that the reader found.
    """
    return {
        "splits": {name: _split_summary(frames, pairs) for name, frames in splits.items()},
        "keys": dict(keys) if keys else {},
    }


def _split_summary(frames: Sequence[Frame], pairs: Mapping[int, Pairs]) -> dict[str, Any]:
    body = [f for f in frames if not f.is_isolated_atom]
    sizes = [len(f) for f in body]
    elements: Counter[int] = Counter()
    for frame in frames:
        elements.update(frame.numbers.tolist())
    atoms = {
        _symbol(int(f.numbers[0])): f.energy
        for f in frames
        if f.is_isolated_atom and f.energy is not None
    }
    return {
        "n_frames": len(frames),
        "n_isolated_atoms": len(frames) - len(body),
        "n_atoms": _spread(sizes),
        "elements": {_symbol(z): n for z, n in sorted(elements.items())},
        "config_types": dict(Counter(f.config_type for f in frames)),
        "heads": dict(Counter(f.head for f in frames if f.head)),
        "labels": _labels(frames),
        "labels_of_isolated_atoms": _labels([f for f in frames if f.is_isolated_atom]),
        "periodicity": dict(Counter(_periodicity(f) for f in frames)),
        "ranges": _ranges(body, pairs),
        "isolated_atoms": dict(sorted(atoms.items())),
    }


def _labels(frames: Sequence[Frame]) -> dict[str, int]:
    """Return energy, forces, stress → number of frames with this label."""
    return {
        "energy": sum(f.energy is not None for f in frames),
        "forces": sum(f.forces is not None for f in frames),
        "stress": sum(f.stress is not None for f in frames),
    }


def _symbol(z: int) -> str:
    return chemical_symbols[z] if 0 <= z < len(chemical_symbols) else f"Z={z}"


def _periodicity(frame: Frame) -> str:
    return f"{int(np.sum(frame.atoms.pbc))}D"


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    finite = [v for v in values if np.isfinite(v)]
    if not finite:
        return None
    low, middle, high = min(finite), float(np.median(finite)), max(finite)
    return {"min": low, "median": middle, "max": high}


def _ranges(frames: Sequence[Frame], pairs: Mapping[int, Pairs]) -> dict[str, Any]:
    energies = [f.energy / len(f) for f in frames if f.energy is not None and len(f)]
    squared: list[np.ndarray] = []
    for frame in frames:
        if frame.forces is not None and np.ndim(frame.forces) == 2:
            norm = (np.asarray(frame.forces, dtype=float) ** 2).sum(axis=1)
            squared.append(norm[np.isfinite(norm)])
    norms = np.concatenate(squared) if squared else np.zeros(0)
    stress = [float(np.abs(f.stress).max()) for f in frames if f.stress is not None]
    stress = [s for s in stress if np.isfinite(s)]
    nearest = [
        float(pairs[id(f)].distance.min())
        for f in frames
        if id(f) in pairs and len(pairs[id(f)].distance)
    ]
    return {
        "energy_per_atom_eV": _spread(energies),
        "force_max_eV_per_A": float(np.sqrt(norms.max())) if len(norms) else None,
        "force_rms_eV_per_A": float(np.sqrt(norms.mean())) if len(norms) else None,
        "stress_max_eV_per_A3": max(stress) if stress else None,
        "nearest_distance_A": min(nearest) if nearest else None,
    }
