"""Consistency of energies, forces and stress, tested without a model.

Two frames a and b of the same atoms obey the following equation. It is exact for a harmonic surface
and nearly exact for neighbouring frames of any surface:

    E_b − E_a = −½ (F_a + F_b) · (r_b − r_a) + ½ (V_a σ_a + V_b σ_b) : ε

σ has ASE's sign, and ε is the strain from cell a to cell b. The left side is fitted to the two
terms on the right side. The slopes are 1 if units and signs agree. Otherwise they are the ratio of
the units (1.89 for Ha with Ha/Bohr, −1 for gradients instead of forces, and so on).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from pestle.checks.robust import slope_through_origin
from pestle.structures.frame import Frame

# Frames looked at per family of frames of the same atoms, and families looked at.
_MAX_FRAMES, _MAX_FAMILIES = 100, 200
# Bounds of a useful pair: root mean square displacement in Å, and strain.
MAX_DISPLACEMENT, _MAX_STRAIN = 0.8, 0.1
# Molecules of this many atoms at most are compared in internal coordinates.
_MAX_INTERNAL = 60
# A strain below this needs no stress: its work is below 0.1 meV/atom for 10 GPa and 20 Å³/atom.
_NO_STRAIN = 1e-5

# The regression says something from this many pairs and this correlation on. In correct public sets
# the slope strays from 1 by a factor of 1.4 with a correlation of 0.9, and of 2 with one of 0.5.
MIN_PAIRS, MIN_CORRELATION = 5, 0.5


@dataclass(frozen=True)
class Neighbours:
    """Pairs of neighbouring frames of the same atoms, in label units.

    Attributes:
        change: [n_pairs] change of the energy.
        force_work: [n_pairs] work of the forces along the way, with the sign of the change.
        stress_work: [n_pairs] work of the stress; zero where the cell stays.
        n_atoms: [n_pairs] atoms in the frames of the pair.
        n_frames: frames compared.
        n_distances: independent distances in them: 3n − 6 for each family, but no more than pairs.
    """

    change: np.ndarray
    force_work: np.ndarray
    stress_work: np.ndarray
    n_atoms: np.ndarray
    n_frames: int
    n_distances: int


@dataclass(frozen=True)
class Step:
    """From frame a to frame b: displacement in Å (root mean square) and work in label units."""

    rms: float
    force_work: float
    stress_work: float
    strain: float


def families_of(frames: Sequence[Frame]) -> list[list[int]]:
    """Return the indices of frames with the same atoms in the same order, largest families
    first.
    """
    found: dict[tuple, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        if len(frame) > 1 and frame.energy is not None and frame.forces is not None:
            key = (
                frame.numbers.tobytes(),
                np.asarray(frame.atoms.pbc).tobytes(),
                frame.charge,
                frame.spin,
                frame.head,
            )
            found[key].append(k)
    return sorted((m for m in found.values() if len(m) > 1), key=lambda m: -len(m))


def step_between(a: Frame, b: Frame) -> Step | None:
    """Return the step from a to b (molecules are superposed first); `None` if the cells differ
    too much.
    """
    if a.atoms.pbc.any():
        return _periodic_step(a, b)
    one = a.atoms.positions - a.atoms.positions.mean(axis=0)
    two = b.atoms.positions - b.atoms.positions.mean(axis=0)
    # Kabsch: the proper rotation that superposes b on a.
    left, _, right = np.linalg.svd(two.T @ one)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ flip @ right
    moved = two @ rotation - one
    forces = 0.5 * (np.asarray(a.forces) + np.asarray(b.forces) @ rotation)
    return Step(_rms(moved), -float((forces * moved).sum()), 0.0, 0.0)


def _periodic_step(a: Frame, b: Frame) -> Step | None:
    pbc = np.asarray(a.atoms.pbc, dtype=bool)
    cells = [f.atoms.cell.complete().array for f in (a, b)]
    change = np.linalg.inv(cells[0]) @ cells[1] - np.eye(3)
    strain = 0.5 * (change + change.T)
    size = float(np.abs(strain).max())
    if np.abs(change).max() > _MAX_STRAIN:
        return None
    stress_work = 0.0
    if size > _NO_STRAIN:
        if a.stress is None or b.stress is None:
            return None
        virial = 0.5 * (abs(np.linalg.det(cells[0])) * np.asarray(a.stress))
        virial = virial + 0.5 * (abs(np.linalg.det(cells[1])) * np.asarray(b.stress))
        stress_work = float((virial * strain).sum())
    fractional = b.atoms.positions @ np.linalg.inv(cells[1])
    fractional = fractional - a.atoms.positions @ np.linalg.inv(cells[0])
    fractional[:, pbc] -= np.rint(fractional[:, pbc])
    moved = fractional @ (0.5 * (cells[0] + cells[1]))
    moved = moved - moved.mean(axis=0)
    work = -0.5 * float(((np.asarray(a.forces) + np.asarray(b.forces)) * moved).sum())
    return Step(_rms(moved), work, stress_work, size)


def _rms(moved: np.ndarray) -> float:
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def internal_forces(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return internal coordinates of a molecule and the forces along them.

    The coordinates are inverse distances, in which energies are closer to quadratic. With Cartesian
    coordinates, a straight path between frames is poor if groups rotate: the hydrogens of a methyl
    group would move through its centre. There are more distances than degrees of freedom. Of all f
    with F = Σ f ∂q/∂r the shortest is returned.

    Returns:
        q [n_pairs], inverse distances in 1/Å, and f [n_pairs].
    """
    positions = frame.atoms.positions
    i, j = np.triu_indices(len(positions), 1)
    way = positions[j] - positions[i]
    # Another check reports atoms on top of each other.
    inverse = 1 / np.maximum(np.linalg.norm(way, axis=1), 0.3)
    slope = -(inverse**3)[:, None] * way
    table = np.zeros((len(positions), 3, len(inverse)))
    pair = np.arange(len(inverse))
    table[j, :, pair], table[i, :, pair] = slope, -slope
    flat = np.asarray(frame.forces).ravel()
    along = np.linalg.lstsq(table.reshape(-1, len(inverse)), flat, rcond=1e-6)[0]
    return inverse, along


def nearest_pairs(frames: Sequence[Frame], members: Sequence[int], seed: int) -> list[tuple]:
    """Return (i, j) for each sampled frame of a family and the frame closest to it.

    Args:
        frames: all frames.
        members: indices of the family.
        seed: seed of the sample.
    """
    chosen = list(members)
    if len(chosen) > _MAX_FRAMES:
        # With each sampled frame its successor, in trajectories its nearest neighbour.
        start = np.random.default_rng(seed).choice(len(members) - 1, _MAX_FRAMES // 2, False)
        chosen = [members[k] for k in sorted({*start.tolist(), *(start + 1).tolist()})]
    flat = np.array([comparable(frames[k]) for k in chosen])
    distance = cdist(flat, flat)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    found = {(min(i, j), max(i, j)) for i, j in enumerate(nearest.tolist())}
    return [(chosen[i], chosen[j]) for i, j in sorted(found)]


def comparable(frame: Frame) -> np.ndarray:
    """Return a vector whose differences measure how different frames are, without superposition."""
    positions = frame.atoms.positions
    if frame.atoms.pbc.any():
        return positions.ravel()
    centred = positions - positions.mean(axis=0)
    if len(frame) > 60:
        return np.sort(np.linalg.norm(centred, axis=1))
    i, j = np.triu_indices(len(frame), 1)
    return np.linalg.norm(centred[i] - centred[j], axis=1)


def neighbours_of(frames: Sequence[Frame], *, seed: int = 0) -> Neighbours:
    """Return energy differences between neighbouring frames, and the work of forces and stress.

    Args:
        frames: frames with energies and forces.
        seed: seed of the sample of pairs.
    """
    rows: list[tuple[float, float, float, int]] = []
    seen: set[int] = set()
    n_distances = 0
    for members in families_of(frames)[:_MAX_FAMILIES]:
        before = len(rows)
        internal: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        one = frames[members[0]]
        molecule = not one.atoms.pbc.any() and len(one) <= _MAX_INTERNAL
        for i, j in nearest_pairs(frames, members, seed):
            step = step_between(frames[i], frames[j])
            if step is None or step.rms > MAX_DISPLACEMENT:
                continue
            if step.force_work == 0.0 and step.stress_work == 0.0:
                continue
            energies = frames[i].energy, frames[j].energy
            if energies[0] is not None and energies[1] is not None:
                work = step.force_work
                if molecule:
                    for k in (i, j):
                        if k not in internal:
                            internal[k] = internal_forces(frames[k])
                    (q, f), (q_next, f_next) = internal[i], internal[j]
                    work = -0.5 * float(((f + f_next) * (q_next - q)).sum())
                change = energies[1] - energies[0]
                rows.append((change, work, step.stress_work, len(frames[i])))
                seen |= {i, j}
        if len(rows) > before:
            n_distances += min(max(1, 3 * len(frames[members[0]]) - 6), len(rows) - before)
    change, force, stress, size = np.array(rows, dtype=float).reshape(-1, 4).T
    return Neighbours(change, force, stress, size, len(seen), n_distances)


def slope_of_forces(change: np.ndarray, pairs: Neighbours) -> tuple[float, float]:
    """Fit energy changes to the work of the forces.

    The work of the stress, which may have another unit, is fitted at the same time.

    Args:
        change: [n_pairs] change of the energy.
        pairs: the work of forces and stress.

    Returns:
        (slope, correlation); zeros if there are too few pairs.
    """
    if len(change) < MIN_PAIRS:
        return 0.0, 0.0
    of_force, of_stress = _two_slopes(change, pairs.force_work, pairs.stress_work)
    remaining = change - of_stress * pairs.stress_work
    slope, correlation = slope_through_origin(pairs.force_work, remaining)
    return (slope if of_force is None else of_force), correlation


def slope_of_stress(pairs: Neighbours) -> tuple[float, float]:
    """Fit the remaining energy changes to the work of the stress, after the work of the forces is
    removed.

    Args:
        pairs: neighbouring frames with energies in eV and forces in eV/Å.

    Returns:
        (slope, correlation); zeros if there are too few pairs.
    """
    moved = pairs.stress_work != 0
    if np.count_nonzero(moved) < MIN_PAIRS:
        return 0.0, 0.0
    left = (pairs.change - pairs.force_work)[moved]
    return slope_through_origin(pairs.stress_work[moved], left)


def _two_slopes(
    change: np.ndarray, force: np.ndarray, stress: np.ndarray
) -> tuple[float | None, float]:
    """Least absolute deviations on both terms, by reweighting."""
    if np.count_nonzero(stress) < MIN_PAIRS:
        return None, 0.0
    scales = np.array([np.abs(force).mean() or 1.0, np.abs(stress).mean()])
    table = np.stack([force, stress], axis=1) / scales
    weight = np.ones(len(change))
    solution = np.zeros(2)
    for _ in range(50):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(table * root[:, None], change * root, rcond=None)[0]
        deviation = np.abs(change - table @ solution)
        weight = 1.0 / np.maximum(deviation, 1e-3 * max(np.median(np.abs(change)), 1e-12))
    return float(solution[0] / scales[0]), float(solution[1] / scales[1])
