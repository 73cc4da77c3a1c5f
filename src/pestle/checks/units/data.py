"""Evidence on units from the labels alone, without a model.

- The work of the forces between neighbouring frames gives the ratio of energies to forces.
- Energies of one composition scatter by about kT·√n, and forces grow with √(kT). Their ratio shows
  whether the energies are too small for these forces.
- The magnitudes of forces and stress are weak evidence. They count only if they are far too large.
- In a cell with clusters in vacuum the stress is exactly −Σ r⊗F / V.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

from pestle.checks.consistency import (
    MIN_CORRELATION,
    Neighbours,
    slope_of_forces,
    slope_of_stress,
)
from pestle.checks.robust import mad, slope_through_origin
from pestle.checks.units.evidence import (
    FORCES,
    RATIO,
    SCATTER,
    STRESS,
    Evidence,
    Measured,
)
from pestle.structures.frame import Frame
from pestle.wording import counted, number

# rms |F| of thermal structures is 0.3–3 eV/Å. Relaxed ones have any smaller number.
_TYPICAL_FORCE, _LARGER, _SMALLER = 0.9, 0.8, 1.6
# If half of the frames have larger forces (eV/Å), the unit is probably wrong.
_LARGE_FORCE = 8.0
# √n · scatter(E) / Σ|F|² in Å²/eV: between 0.009 (ice, water) and 0.2 (rattled molecules). Several
# basins and relaxed frames make it larger, nothing makes it much smaller.
_SCATTER, _SCATTER_LOW, _SCATTER_HIGH, _MIN_GROUP = 0.03, 0.8, 1.8, 5
# Largest components of the stress: 0.001–0.3 eV/Å³ in thermal and strained matter. More than
# 1 eV/Å³ (160 GPa, the core of the Earth) in half of the frames is no stress in eV/Å³.
_STRESS, _STRESS_LARGER, _STRESS_SMALLER, _IMPOSSIBLE_STRESS = 0.02, 1.1, 2.2, 1.0
# Clusters count as free of each other where this much (Å) is between them through the cell.
_VACUUM = 4.0
# Stress of a free cluster: off by long-range parts only.
_MIN_CLUSTER_CORRELATION = 0.9


def width_of(correlation: float, least: float) -> float:
    """Return the standard deviation of the natural logarithm of a slope.

    Args:
        correlation: correlation coefficient of the data.
        least: smallest standard deviation.
    """
    return least + 0.75 * math.sqrt(max(0.0, 1.0 - correlation**2))


def pair_evidence(pairs: Neighbours) -> list[Evidence]:
    """Return evidence on the ratio of energy and force units, and on the sign of the forces."""
    measured, words = {}, ""
    for shape, change in (("total", pairs.change), ("per atom", pairs.change * pairs.n_atoms)):
        slope, correlation = slope_of_forces(change, pairs)
        if abs(correlation) < MIN_CORRELATION or slope == 0:
            continue
        # A straight path between two frames has higher energy, so slopes tend to be too small.
        wide = width_of(correlation, 0.08)
        measured[shape] = Measured(1 / slope, 0.08 + 0.6 * (wide - 0.08), wide)
        words = words or (
            f"energy differences between {len(change)} pairs of neighbouring frames are "
            f"{number(slope)} times the work of the forces (correlation {correlation:.2f})"
        )
    # Distant neighbours can differ against their forces by chance; close neighbours cannot.
    return [Evidence(RATIO, measured, words, 12.0, signed=True)] if measured else []


def force_evidence(frames: Sequence[Frame]) -> list[Evidence]:
    """Return evidence from the size of forces; it is weak, as structures can be hot, broken or
    at rest.
    """
    sizes = [
        float(np.sqrt((np.asarray(f.forces) ** 2).sum(axis=1).mean()))
        for f in frames
        if f.forces is not None and len(f) > 1
    ]
    typical = float(np.median(sizes)) if sizes else 0.0
    if typical == 0.0:
        return []
    # A factor too large for the labels makes the forces too large.
    measured = Measured(_TYPICAL_FORCE / typical, _LARGER, _SMALLER)
    why = f"median rms |F| is {number(typical)}, where thermal structures show 0.3–3 eV/Å"
    return [Evidence(FORCES, {"total": measured}, why, 5.0 if typical > _LARGE_FORCE else 3.0)]


def scatter_evidence(frames: Sequence[Frame]) -> list[Evidence]:
    """Compare the spread of energies of one composition with the size of the forces."""
    groups: dict[bytes, list[Frame]] = {}
    for frame in frames:
        if frame.energy is not None and frame.forces is not None and len(frame) > 1:
            groups.setdefault(frame.numbers.tobytes(), []).append(frame)
    ratios, sizes = [], []
    for members in groups.values():
        forces = np.array([f.forces for f in members])
        # A force that all frames share, far from a minimum, gives no information on their scatter.
        squares = float(((forces - forces.mean(axis=0)) ** 2).sum(axis=(1, 2)).mean())
        spread = mad(np.array([f.energy for f in members], dtype=float))
        if len(members) >= _MIN_GROUP and squares > 0 and spread > 0:
            ratios.append(spread * math.sqrt(len(members[0])) / squares)
            sizes.append(len(members[0]))
    if not ratios:
        return []
    ratio, size = float(np.median(ratios)), float(np.median(sizes))
    measured = {
        "total": Measured(_SCATTER / ratio, _SCATTER_HIGH, _SCATTER_LOW),
        "per atom": Measured(_SCATTER / (ratio * size), _SCATTER_HIGH, _SCATTER_LOW),
    }
    why = (
        f"energies scatter {number(ratio / _SCATTER, 2)} times as far as forces of this size "
        "usually mean"
    )
    return [Evidence(SCATTER, measured, why, 7.5)]


# -- stress ----------------------------------------------------------------------------------
def stress_evidence(
    frames: Sequence[Frame], pairs: Neighbours | None, *, sure_of_sign: bool
) -> list[Evidence]:
    """Return evidence on the unit and the sign of the stress.

    Args:
        frames: periodic frames with a stress; forces, if present, in eV/Å.
        pairs: neighbouring frames with energies and forces in eV; `None` if they are inconsistent.
        sure_of_sign: whether the sign of the forces is confirmed.
    """
    sizes = np.array([np.abs(np.asarray(f.stress)).max() for f in frames])
    volumes = np.array([f.atoms.get_volume() for f in frames])
    found = []
    if np.median(sizes) > 0:
        typical = {"total": float(np.median(sizes)), "virial": float(np.median(sizes / volumes))}
        impossible = typical["total"] > _IMPOSSIBLE_STRESS
        found.append(
            Evidence(
                STRESS,
                {
                    shape: Measured(_STRESS / value, _STRESS_LARGER, _STRESS_SMALLER)
                    for shape, value in typical.items()
                },
                f"largest components have a median of {number(typical['total'])}, and 1 eV/Å³ is "
                "160 GPa",
                9.0 if impossible else 3.0,
            )
        )
    found += _cluster_stress(frames, sure_of_sign)
    if pairs is not None:
        slope, correlation = slope_of_stress(pairs)
        if abs(correlation) >= MIN_CORRELATION and slope != 0:
            width = width_of(correlation, 0.15)
            per_volume = slope * float(np.median(volumes))
            found.append(
                Evidence(
                    STRESS,
                    {
                        "total": Measured(slope, width, width),
                        "virial": Measured(per_volume, width, width),
                    },
                    f"energy differences are {number(slope)} times the work of the stress "
                    f"(correlation {correlation:.2f})",
                    6.0,
                    signed=True,
                )
            )
    return found


def _cluster_stress(frames: Sequence[Frame], sure_of_sign: bool) -> list[Evidence]:
    """Stress of free clusters from their forces."""
    expected, label, volumes = [], [], []
    for frame in frames:
        positions = _unwrapped(frame) if frame.forces is not None else None
        if positions is None:
            continue
        volume = frame.atoms.get_volume()
        moment = -(positions.T @ np.asarray(frame.forces)) / volume
        expected.append(_traceless(0.5 * (moment + moment.T)))
        label.append(_traceless(np.asarray(frame.stress)))
        volumes.append(volume)
    if not expected:
        return []
    measured, words = {}, ""
    scale = np.array(volumes)[:, None, None]
    for shape, seen in (("total", np.array(label)), ("virial", np.array(label) / scale)):
        slope, correlation = slope_through_origin(np.array(expected), seen)
        if abs(correlation) >= _MIN_CLUSTER_CORRELATION:
            width = width_of(correlation, 0.08)
            measured[shape] = Measured(1 / slope, width, width)
            words = words or (
                f"the stress is {number(slope, 4)} times what the forces on free clusters give "
                f"(correlation {correlation:.2f}, {counted(len(expected), 'frame')})"
            )
    return [Evidence(STRESS, measured, words, 12.0, signed=sure_of_sign)] if measured else []


def _traceless(tensor: np.ndarray) -> np.ndarray:
    """Remove the pressure, which is arbitrary if there are too few plane waves."""
    return tensor - np.trace(tensor) / 3 * np.eye(3)


def _unwrapped(frame: Frame) -> np.ndarray | None:
    """Positions [n, 3] with each cluster in one piece; `None` if clusters touch or fill the cell.

    Clusters are atoms that are linked by less than the vacuum asked for.
    """
    cell = frame.atoms.cell.array
    inverse = np.linalg.inv(cell)
    # Widths of the cell between opposite faces.
    if len(frame) > 200 or (1 / np.linalg.norm(inverse, axis=0)).min() < 2 * _VACUUM:
        return None
    fractional = frame.atoms.positions @ inverse
    difference = fractional[None] - fractional[:, None]
    image = difference - np.rint(difference)
    distance = np.linalg.norm(image @ cell, axis=2)
    linked = coo_matrix((distance < _VACUUM) & (distance > 0))
    n, label = connected_components(linked, directed=False)
    found = np.array(fractional)
    for one in range(n):
        start = int(np.flatnonzero(label == one)[0])
        order, before = breadth_first_order(linked.tocsr(), start, directed=False)
        for k in order[1:]:
            found[k] = found[before[k]] + image[before[k], k]
        members = np.flatnonzero(label == one)
        # Bonds through the boundary that are missing in the unwrapped cluster: it is infinite.
        inside = found[members][None] - found[members][:, None]
        near = distance[np.ix_(members, members)] < _VACUUM
        if np.abs(inside - image[np.ix_(members, members)])[near].max(initial=0.0) > 1e-6:
            return None
    return found @ cell
