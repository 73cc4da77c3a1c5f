"""Evidence on the units of labels from predictions of a model.

Foundations underestimate the curvature of unfamiliar surfaces by up to a half, so that slopes are
known to a factor of 1.5. Units differ by a factor of 1.9 or more. If two units remain possible, the
ratio of energies to forces decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pestle.checks.levels import enough_frames
from pestle.checks.robust import mad, project_out, slope_through_origin
from pestle.checks.unit_tables import ENERGIES
from pestle.checks.units.data import width_of
from pestle.checks.units.evidence import (
    ENERGY,
    FORCES,
    STRESS,
    Evidence,
    Measured,
    Opinion,
)
from pestle.structures.frame import Frame, composition_matrix, elements_of
from pestle.wording import number

# Slopes of labels on predictions count from this correlation on. A foundation far from its training
# data still reaches 0.8 for forces and for changes of the stress; a mere offset of the pressure,
# common among small foundations, is taken out first.
MIN_CORRELATION = 0.6
# Forces are many: this much tells their sign, and their size to a factor of 3.
_MIN_FORCE_CORRELATION = 0.3
# Energies within one composition have few independent values and can run against a poor foundation
# (torsion scans do): only a strong positive correlation counts, and none convicts the sign.
MIN_ENERGY_CORRELATION = 0.85
# Frames of one composition from which on its mean stress is taken out for itself.
_MIN_GROUP = 4
# Width of a slope with perfect correlation (natural logarithm): how soft foundations are.
_SOFTNESS = 0.25
# Totals that match the predicted ones in some unit this closely are of the foundation's own level.
_SAME_LEVEL = 0.08


@dataclass(frozen=True)
class Predicted:
    """Labels and predictions of the same frames, in label units and in eV, eV/Å, eV/Å³."""

    frames: list[Frame]
    energy: np.ndarray  # [n] predicted
    forces: list[np.ndarray]  # [n_atoms, 3] predicted
    stress: np.ndarray  # [n, 3, 3] predicted


def opinion_of(predicted: Predicted) -> Opinion:
    """Return evidence on energies, forces and stress from the predictions."""
    found = [_forces(predicted), _energies(predicted), _totals(predicted), _stress(predicted)]
    return Opinion([item for item in found if item is not None])


def _slopes(
    tried: Sequence[tuple[str, np.ndarray, np.ndarray]], least: float, signed: bool
) -> tuple[dict[str, Measured], str]:
    """(factor by shape, words about the first): (shape, label, predicted) of each tried."""
    measured, words = {}, ""
    for shape, label, predicted in tried:
        slope, correlation = slope_through_origin(predicted, label)
        if slope == 0 or (abs(correlation) if signed else correlation) < least:
            continue
        width = width_of(correlation, _SOFTNESS)
        measured[shape] = Measured(1 / slope, width, width)
        words = words or (
            f"labels are {number(slope)} times the foundation's predictions (correlation "
            f"{correlation:.2f})"
        )
    return measured, words


def _forces(predicted: Predicted) -> Evidence | None:
    rows = [k for k, f in enumerate(predicted.frames) if f.forces is not None]
    if not rows:
        return None
    label = np.concatenate([np.asarray(predicted.frames[k].forces).ravel() for k in rows])
    said = np.concatenate([predicted.forces[k].ravel() for k in rows])
    measured, words = _slopes([("total", label, said)], _MIN_FORCE_CORRELATION, True)
    return Evidence(FORCES, measured, f"force {words}", 10.0, signed=True) if measured else None


def _energies(predicted: Predicted) -> Evidence | None:
    rows = [k for k, f in enumerate(predicted.frames) if f.energy is not None]
    frames = [predicted.frames[k] for k in rows]
    if not enough_frames(frames):
        return None
    counts = composition_matrix(frames, elements_of(frames))
    said = project_out(predicted.energy[rows], counts)
    if mad(said) == 0.0:
        return None
    label = np.array([f.energy for f in frames], dtype=float)
    tried = [
        ("total", project_out(label, counts), said),
        ("per atom", project_out(label * counts.sum(axis=1), counts), said),
    ]
    measured, words = _slopes(tried, MIN_ENERGY_CORRELATION, False)
    why = f"beyond the composition energy {words}"
    return Evidence(ENERGY, measured, why, 8.0) if measured else None


def _totals(predicted: Predicted) -> Evidence | None:
    rows = [k for k, f in enumerate(predicted.frames) if f.energy]
    frames = [predicted.frames[k] for k in rows]
    if not rows:
        return None
    label = np.array([f.energy for f in frames], dtype=float)
    sizes = np.array([len(f) for f in frames])
    measured = {}
    for shape, total in (("total", label), ("per atom", label * sizes)):
        ratio = predicted.energy[rows] / total
        median = float(np.median(ratio))
        tight = np.percentile(np.abs(ratio - median), 90) < _SAME_LEVEL * abs(median)
        near = any(abs(median / u.factor - 1) < _SAME_LEVEL for u in ENERGIES)
        if tight and near:
            measured[shape] = Measured(median, _SAME_LEVEL, _SAME_LEVEL)
    if not measured:
        return None
    factor = next(iter(measured.values())).factor
    why = f"predicted total energies are {number(factor, 4)} times the labels"
    return Evidence(ENERGY, measured, why, 4.0)


def _centred(stress: np.ndarray, frames: Sequence[Frame]) -> np.ndarray:
    """Stress [n, 3, 3] minus its mean over frames of the same composition (rare ones together)."""
    groups: dict[bytes, list[int]] = {}
    for k, frame in enumerate(frames):
        groups.setdefault(np.sort(frame.numbers).tobytes(), []).append(k)
    small = [k for group in groups.values() if len(group) < _MIN_GROUP for k in group]
    centred = stress.copy()
    for members in [g for g in groups.values() if len(g) >= _MIN_GROUP] + (
        [small] if small else []
    ):
        centred[members] -= stress[members].mean(axis=0)
    return centred


def _stress(predicted: Predicted) -> Evidence | None:
    rows = [k for k, f in enumerate(predicted.frames) if f.stress is not None and f.is_periodic]
    if not rows:
        return None
    frames = [predicted.frames[k] for k in rows]
    label = np.array([np.asarray(f.stress) for f in frames])
    volume = np.array([f.atoms.get_volume() for f in frames])[:, None, None]
    said = _centred(predicted.stress[rows], frames)
    tried = [("total", _centred(label, frames), said)]
    tried.append(("virial", _centred(label / volume, frames), said))
    measured, words = _slopes(tried, MIN_CORRELATION, True)
    why = f"changes of the stress: {words}"
    return Evidence(STRESS, measured, why, 10.0, signed=True) if measured else None
