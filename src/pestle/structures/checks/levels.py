"""Labels of several levels of theory in one set, and frames far from all others.

Both show in the energy per atom that the composition leaves unexplained. Without a foundation that
residual also holds real differences between isomers and phases. A gap therefore counts only if it
is larger than any of those, or if frames on its two sides are neighbours in structure and the
forces do not account for the step in energy between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pestle.structures.checks.consistency import step_between
from pestle.structures.checks.report import Finding, count_of, finding, group_name
from pestle.structures.checks.robust import composition_residual, mad, robust_z, split_at_gaps
from pestle.structures.frame import Frame, composition_matrix, elements_of

# A gap is an empty interval of the residual at least this wide (eV/atom) …
MIN_GAP = 0.03
# … and this many standard deviations of the clusters beside it; each cluster holds at least this
# share of the frames and this many.
GAP_RATIO, MIN_SHARE, MIN_CLUSTER = 3.0, 0.03, 4
# Isomers and phases of one composition differ by less than this (eV/atom; diamond and C60: 0.4,
# reactants and products of hot chemistry: 0.3). Above, the gap needs no other evidence.
CHEMICAL_GAP = 1.0
# Evidence below that: the nearest neighbour across the gap is not further away in structure than
# this times the one on the same side, and the forces leave this share of the step unexplained.
NEIGHBOUR_RATIO, UNEXPLAINED = 1.5, 0.5
# Frames of each side that are compared in structure.
_SAMPLE = 40
# Fewer frames than this, or than this many for each element of the fit, have no statistics: with as
# many elements as frames the fit leaves gaps of its own.
MIN_FRAMES, FRAMES_PER_ELEMENT = 12, 4

# Outliers: this many standard deviations (MAD) from the median, and this far in eV/atom; the tails
# of sets with many kinds of structure reach 8.
OUTLIER_Z, OUTLIER_ENERGY = 12.0, 0.3
# Force outliers: largest |F| in the frame, this many standard deviations out on a logarithmic scale
# and above this many eV/Å.
OUTLIER_FORCE_Z, OUTLIER_FORCE = 6.0, 15.0


def energy_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Frames of several atoms with an energy."""
    return [f for f in frames if len(f) > 1 and f.energy is not None]


def residual_of(frames: Sequence[Frame]) -> np.ndarray:
    """Energy per atom [n] in eV beyond the composition, of frames with energies."""
    counts = composition_matrix(frames, elements_of(frames))
    energy = np.array([f.energy for f in frames], dtype=float)
    return composition_residual(energy, counts)


def clusters_of(residual: np.ndarray, min_gap: float) -> list[np.ndarray]:
    """Indices of the frames of each cluster, by ascending residual."""
    return split_at_gaps(
        residual,
        min_gap=min_gap,
        min_ratio=GAP_RATIO,
        min_side=max(MIN_CLUSTER, int(MIN_SHARE * len(residual))),
    )


def enough_frames(frames: Sequence[Frame]) -> bool:
    """Whether the composition fit leaves enough freedom for statistics of its residual."""
    return len(frames) >= max(MIN_FRAMES, FRAMES_PER_ELEMENT * len(elements_of(frames)))


def level_findings(frames: Sequence[Frame]) -> list[Finding]:
    """Several levels of theory and energy outliers, from the data alone."""
    found: list[Finding] = []
    for head in dict.fromkeys(f.head for f in frames):
        labelled = energy_frames([f for f in frames if f.head == head])
        if not enough_frames(labelled):
            continue
        residual = residual_of(labelled)
        clusters = clusters_of(residual, MIN_GAP)
        guilty = [
            (a, b)
            for k, a in enumerate(clusters)
            for m, b in enumerate(clusters[k + 1 :])
            if (m == 0 and _gap(residual, a, b) > CHEMICAL_GAP)
            or _same_structures(labelled, residual, a, b)
        ]
        if guilty:
            found.append(mixed_finding(labelled, residual, clusters, guilty, "the composition fit"))
        found += outlier_findings(labelled, residual, clusters, "the composition fit")
    found += force_outliers([f for f in frames if f.forces is not None and len(f) > 1])
    return found


def _gap(residual: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(residual[b].min() - residual[a].max())


def mixed_finding(
    frames: Sequence[Frame],
    residual: np.ndarray,
    clusters: Sequence[np.ndarray],
    guilty: Sequence[tuple[np.ndarray, np.ndarray]],
    fit: str,
) -> Finding:
    """Names the groups of frames, their offsets and their members.

    Args:
        frames: frames with energies.
        residual: [n] eV/atom.
        clusters: indices of the frames of each cluster.
        guilty: pairs of clusters (members of `clusters`) that are of different levels.
        fit: what was subtracted, in words.
    """
    middle = {id(c): float(np.median(residual[c])) for c in clusters}
    # In each pair the smaller cluster is the odd one; its partner is the largest it was paired with.
    partner: dict[int, np.ndarray] = {}
    for a, b in guilty:
        odd, usual = (a, b) if len(a) < len(b) else (b, a)
        if id(odd) not in partner or len(partner[id(odd)]) < len(usual):
            partner[id(odd)] = usual
    odd_clusters = [c for c in clusters if id(c) in partner]
    rest = [c for c in clusters if id(c) not in partner]
    members = [frames[i] for i in sorted(np.concatenate(rest).tolist())]
    parts = [f"{len(members)} frames [{group_name(members)}] reference"]
    for cluster in odd_clusters:
        group = [frames[i] for i in sorted(cluster.tolist())]
        offset = middle[id(cluster)] - middle[id(partner[id(cluster)])]
        parts.append(f"{len(group)} frames [{group_name(group)}] {offset:+.3g} eV/atom")
    spread = mad(np.concatenate([residual[c] - middle[id(c)] for c in clusters]))
    others = [frames[i] for i in sorted(np.concatenate(odd_clusters).tolist())]
    return finding(
        "warning",
        "mixed-levels",
        f"energies fall into separate groups after {fit}: {'; '.join(parts)} (spread inside the "
        f"groups {spread:.2g} eV/atom): several levels of theory?",
        others,
        fix="Keep one level of theory, or give each its own head; if these are different "
        "phases labelled alike, all is well.",
    )


def _same_structures(
    frames: Sequence[Frame], residual: np.ndarray, a: np.ndarray, b: np.ndarray
) -> bool:
    """Whether frames on both sides of a gap are neighbours that the forces cannot tell apart."""
    small, large = (a, b) if len(a) <= len(b) else (b, a)
    gap = abs(float(np.median(residual[b]) - np.median(residual[a])))
    rng = np.random.default_rng(0)
    across, inside, unexplained = [], [], []
    for i in rng.permutation(small)[:_SAMPLE]:
        own, other = (_nearest(frames, int(i), side, rng) for side in (small, large))
        if own is None or other is None:
            continue
        inside.append(own[0])
        across.append(other[0])
        unexplained.append(abs(other[1]))
    if len(across) < MIN_CLUSTER:
        return False
    near = np.median(across) <= NEIGHBOUR_RATIO * np.median(inside)
    return bool(near and np.median(unexplained) > UNEXPLAINED * gap)


def _nearest(
    frames: Sequence[Frame], i: int, side: np.ndarray, rng: np.random.Generator
) -> tuple[float, float] | None:
    """(rms distance in Å, energy step per atom that forces leave) to the nearest of a side."""
    me = frames[i]
    best: tuple[float, float] | None = None
    same = [int(j) for j in side if j != i and np.array_equal(frames[j].numbers, me.numbers)]
    if len(same) > _SAMPLE:
        same = [same[k] for k in rng.permutation(len(same))[:_SAMPLE]]
    for j in same:
        other = frames[j]
        if not np.array_equal(other.atoms.pbc, me.atoms.pbc):
            continue
        step = step_between(_with_labels(me), _with_labels(other))
        if step is None or (best is not None and step.rms >= best[0]):
            continue
        change = float(other.energy) - float(me.energy)  # type: ignore[arg-type]
        best = (step.rms, (change - step.force_work - step.stress_work) / len(me))
    return best


def _with_labels(frame: Frame) -> Frame:
    """The frame with zeros for forces and stress where they are missing: no work is known then."""
    if frame.forces is not None and (frame.stress is not None or not frame.is_periodic):
        return frame
    n = len(frame)
    forces = np.zeros((n, 3)) if frame.forces is None else frame.forces
    stress = np.zeros((3, 3)) if frame.stress is None else frame.stress
    return Frame(frame.atoms, energy=frame.energy, forces=forces, stress=stress)


def outlier_findings(
    frames: Sequence[Frame], residual: np.ndarray, clusters: Sequence[np.ndarray], fit: str
) -> list[Finding]:
    """Frames whose energy is far from the rest of their cluster."""
    far: list[tuple[float, float, Frame]] = []
    for members in clusters:
        z = robust_z(residual[members], 1e-3)
        offset = residual[members] - np.median(residual[members])
        for k in np.flatnonzero((np.abs(z) > OUTLIER_Z) & (np.abs(offset) > OUTLIER_ENERGY)):
            far.append((float(abs(z[k])), float(offset[k]), frames[int(members[k])]))
    if not far:
        return []
    far.sort(key=lambda item: -item[0])
    _, furthest, worst = far[0]
    return [
        finding(
            "warning",
            "energy-outliers",
            f"{count_of(far, len(frames))} lie more than {OUTLIER_Z:g} standard deviations and "
            f"{OUTLIER_ENERGY:g} eV/atom from the others after {fit}; furthest: {worst.where}, "
            f"{furthest:+.3g} eV/atom",
            [frame for _, _, frame in far],
            fix="Look at these calculations: unconverged, another spin state, broken structure?",
        )
    ]


def force_outliers(frames: Sequence[Frame]) -> list[Finding]:
    """Frames whose largest force is far beyond that of the others."""
    largest = np.array(
        [np.linalg.norm(np.asarray(f.forces), axis=1).max() for f in frames], dtype=float
    )
    if len(largest) < MIN_FRAMES:
        return []
    # At least a factor of 1.5 counts as one standard deviation of the logarithm times six.
    z = robust_z(np.log(np.maximum(largest, 1e-6)), 0.2)
    far = np.flatnonzero((z > OUTLIER_FORCE_Z) & (largest > OUTLIER_FORCE))
    if not len(far):
        return []
    far = far[np.argsort(-largest[far])]
    worst = int(far[0])
    return [
        finding(
            "warning",
            "force-outliers",
            f"{count_of(far.tolist(), len(frames))} have forces far beyond the others' (median of "
            f"the largest |F| {np.median(largest):.3g} eV/Å); largest: {largest[worst]:.4g} eV/Å "
            f"in {frames[worst].where}",
            [frames[int(k)] for k in far],
            fix="Leave them out unless such structures matter; they dominate the force loss.",
        )
    ]
