"""Whether a frame can be processed: finite numbers, known elements, a cell with a volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from pestle.structures.frame import Frame

# Solid hydrogen at 500 GPa still has 1 Å³ per atom: a smaller cell is a mistake.
MIN_VOLUME_PER_ATOM = 0.5

#: Weights of a frame and of its labels.
WEIGHTS = ("weight", "energy_weight", "forces_weight", "stress_weight")


def not_finite_parts(frame: Frame) -> list[str]:
    """Return the names of the parts of a frame that are not finite numbers of the right shape."""
    n = len(frame)
    parts: list[tuple[str, Any, tuple[int, ...]]] = [
        ("positions", frame.atoms.positions, (n, 3)),
        ("cell", frame.atoms.cell.array, (3, 3)),
        ("energy", frame.energy, ()),
        ("forces", frame.forces, (n, 3)),
        ("stress", frame.stress, (3, 3)),
        *((f"config_{name}", getattr(frame, name), ()) for name in WEIGHTS),
        ("total_charge", frame.charge, ()),
        ("total_spin", frame.spin, ()),
    ]
    return [
        name
        for name, value, shape in parts
        if value is not None
        and (np.shape(value) != shape or not np.isfinite(np.asarray(value, dtype=float)).all())
    ]


def cell_is_flat(frame: Frame) -> bool:
    """Whether the volume, area or length of the periodic directions is (nearly) zero."""
    pbc = np.asarray(frame.atoms.pbc, dtype=bool)
    if not pbc.any():
        return False
    vectors = frame.atoms.cell.array[pbc]
    # Length, area or volume of the periodic directions.
    measure = np.sqrt(max(np.linalg.det(vectors @ vectors.T), 0.0))
    if pbc.all():
        return bool(measure < MIN_VOLUME_PER_ATOM * max(len(frame), 1))
    return bool(measure < MIN_VOLUME_PER_ATOM)


def has_unknown_element(frame: Frame) -> bool:
    """Whether a frame contains no atom, or an atom without an element (Z = 0)."""
    return len(frame) == 0 or bool((frame.numbers <= 0).any())


def is_sound(frame: Frame) -> bool:
    """Whether a neighbour search works for the frame and its labels can be used."""
    bad = not_finite_parts(frame)
    return not (bad or has_unknown_element(frame) or cell_is_flat(frame))
