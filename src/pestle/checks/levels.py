"""Labels of several levels of theory in one set, and energy outliers.

For frames of the same atoms, the work of the forces can be removed from the energies (`jumps`). The
remainder shows two levels of theory clearly. For different compositions, only the energy per atom
that a sum over elements does not explain can be used. Without a foundation it also contains real
differences between isomers and phases. Only gaps that are larger than these count.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pestle.checks.consistency import families_of
from pestle.checks.jumps import steps_between, unexplained_offsets
from pestle.checks.report import CheckFinding, count_of, finding, group_name
from pestle.checks.robust import composition_residual, mad, robust_z, split_at_gaps
from pestle.structures.frame import Frame, composition_matrix, elements_of
from pestle.wording import counted, number

# A gap is an empty interval of the residual at least this wide (eV/atom) …
MIN_GAP = 0.03
# … and this many standard deviations of the clusters beside it; each cluster holds at least this
# share of the frames and this many.
GAP_RATIO, MIN_SHARE, MIN_CLUSTER = 3.0, 0.03, 4
# Isomers and phases of one composition differ by less than this (eV/atom; diamond and C60: 0.4,
# reactants and products of hot chemistry: 0.3). Gaps of the composition fit must be wider.
CHEMICAL_GAP = 1.0
# Offsets beyond this (eV/atom) are no chemistry at all.
NO_CHEMISTRY = 10.0
# Fewer frames than this, or than this many for each element of the fit, have no statistics: with as
# many elements as frames the fit leaves gaps of its own.
MIN_FRAMES, FRAMES_PER_ELEMENT = 12, 4

# Two levels of theory differ by the same energy wherever they meet: of this many short steps from
# one group to the other, at least the smallest number below, the unexplained energies must scatter
# over less than their median. Two basins are joined by steps over a barrier: the forces at the ends
# do not say what these cost, and each is wrong by another energy. On subsets of the SN2, acac and
# 3BPA data this leaves 1 of 12 false alarms, and 8 of 10 planted levels that gaps alone show.
STEPS_BETWEEN, MIN_STEPS = 10, 3

# Outliers: this many standard deviations (MAD) from the median, and this far in eV/atom; the tails
# of sets with many kinds of structure reach 8.
OUTLIER_Z, OUTLIER_ENERGY = 12.0, 0.3
# Force outliers: largest |F| in the frame, this many standard deviations out on a logarithmic scale
# and above this many eV/Å.
OUTLIER_FORCE_Z, OUTLIER_FORCE = 6.0, 15.0


def energy_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames of several atoms with an energy."""
    return [f for f in frames if len(f) > 1 and f.energy is not None]


def residual_of(frames: Sequence[Frame]) -> np.ndarray:
    """Return the energy per atom that the composition does not explain.

    Args:
        frames: frames with energies.

    Returns:
        [n] eV/atom.
    """
    counts = composition_matrix(frames, elements_of(frames))
    energy = np.array([f.energy for f in frames], dtype=float)
    return composition_residual(energy, counts)


def clusters_of(residual: np.ndarray, min_gap: float) -> list[np.ndarray]:
    """Return the indices of the frames in each cluster, in ascending order of the residual.

    Args:
        residual: [n] eV/atom.
        min_gap: smallest gap between clusters, eV/atom.
    """
    return split_at_gaps(
        residual,
        min_gap=min_gap,
        min_ratio=GAP_RATIO,
        min_side=max(MIN_CLUSTER, int(MIN_SHARE * len(residual))),
    )


def enough_frames(frames: Sequence[Frame]) -> bool:
    """Whether there are enough frames, compared with elements, for statistics of the residual."""
    return len(frames) >= max(MIN_FRAMES, FRAMES_PER_ELEMENT * len(elements_of(frames)))


def level_findings(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Several levels of theory and energy outliers, from the data alone."""
    found: list[CheckFinding] = []
    for head in dict.fromkeys(f.head for f in frames):
        labelled = energy_frames([f for f in frames if f.head == head])
        found += _jump_findings(labelled)
        if not enough_frames(labelled):
            continue
        residual = residual_of(labelled)
        clusters = clusters_of(residual, MIN_GAP)
        guilty = [(a, b) for a, b in pairwise(clusters) if _gap(residual, a, b) > CHEMICAL_GAP]
        if guilty and not found:
            found.append(mixed_finding(labelled, residual, clusters, guilty, "the composition fit"))
        found += outlier_findings(labelled, residual, clusters, "the composition fit")
    found += force_outliers([f for f in frames if f.forces is not None and len(f) > 1])
    return found


def _jump_findings(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Two levels among frames of the same atoms, the work of the forces taken out."""
    offsets: list[np.ndarray] = []
    compared: list[Frame] = []
    clusters: list[np.ndarray] = []
    guilty: list[tuple[np.ndarray, np.ndarray]] = []
    for members in families_of(frames):
        if len(members) < MIN_FRAMES:
            break
        offset, component = unexplained_offsets(frames, members)
        for one in np.unique(component[component >= 0]):
            rows = np.flatnonzero(component == one)
            if len(rows) < MIN_FRAMES:
                continue
            parts = [part + len(compared) for part in clusters_of(offset[rows], MIN_GAP)]
            compared += [frames[members[k]] for k in rows]
            offsets.append(offset[rows])
            clusters += parts
            largest = max(parts, key=len)
            guilty += [
                (largest, part)
                for part in parts
                if part is not largest and _same_step(compared, largest, part)
            ]
    if not guilty:
        return []
    values = np.concatenate(offsets)
    return [mixed_finding(compared, values, clusters, guilty, "taking out the work of the forces")]


def _same_step(frames: Sequence[Frame], one: np.ndarray, other: np.ndarray) -> bool:
    """Whether all ways from one group to another find about the same difference."""
    steps = steps_between(frames, one.tolist(), other.tolist(), count=STEPS_BETWEEN)
    return len(steps) >= MIN_STEPS and float(np.ptp(steps)) < abs(float(np.median(steps)))


def _gap(residual: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(residual[b].min() - residual[a].max())


def mixed_finding(
    frames: Sequence[Frame],
    residual: np.ndarray,
    clusters: Sequence[np.ndarray],
    guilty: Sequence[tuple[np.ndarray, np.ndarray]],
    fit: str,
) -> CheckFinding:
    """Names the groups of frames, their offsets and their members.

    Args:
        frames: frames with energies.
        residual: [n] eV/atom.
        clusters: indices of the frames of each cluster.
        guilty: pairs of clusters (members of `clusters`) that are of different levels.
        fit: what was subtracted, in words.
    """
    middle = {id(c): float(np.median(residual[c])) for c in clusters}
    # In each pair the smaller cluster is the odd one; its partner is the largest it is paired with.
    partner: dict[int, np.ndarray] = {}
    for a, b in guilty:
        odd, usual = (b, a) if len(a) >= len(b) else (a, b)
        if id(odd) not in partner or len(partner[id(odd)]) < len(usual):
            partner[id(odd)] = usual
    odd_clusters = [c for c in clusters if id(c) in partner]
    rest = [c for c in clusters if id(c) not in partner]
    members = [frames[i] for i in sorted(np.concatenate(rest).tolist())]
    parts = [f"{counted(len(members), 'frame')} [{group_name(members)}] reference"]
    # The same offset in several families of frames is one level of theory.
    offsets = sorted(
        (middle[id(c)] - middle[id(partner[id(c)])], k) for k, c in enumerate(odd_clusters)
    )
    level: list[tuple[float, int]] = []
    for offset, k in [*offsets, (np.inf, -1)]:
        if level and offset - level[-1][0] > MIN_GAP:
            group = [frames[i] for _, m in level for i in sorted(odd_clusters[m].tolist())]
            mean = float(np.mean([o for o, _ in level]))
            parts.append(
                f"{counted(len(group), 'frame')} [{group_name(group)}] "
                f"{number(mean, sign=True)} eV/atom"
            )
            level = []
        level.append((offset, k))
    spread = mad(np.concatenate([residual[c] - middle[id(c)] for c in clusters]))
    others = [frames[i] for i in sorted(np.concatenate(odd_clusters).tolist())]
    if max(abs(offset) for offset, _ in offsets) > NO_CHEMISTRY:
        fix = (
            "No chemistry makes such differences: look for another program, unit, level of theory "
            "or set of pseudopotentials among these frames, and keep one."
        )
    else:
        fix = (
            "Keep one level of theory: mark the frames of each (head=…) and choose with --select "
            "head=…; if these are different phases, molecules or sides of a reaction labelled "
            "alike, all is well."
        )
    return finding(
        "warning",
        "mixed-levels",
        f"energies fall into separate groups after {fit}: {'; '.join(parts)} (spread inside the "
        f"groups {number(spread, 2)} eV/atom): several levels of theory?",
        others,
        fix=fix,
    )


def outlier_findings(
    frames: Sequence[Frame], residual: np.ndarray, clusters: Sequence[np.ndarray], fit: str
) -> list[CheckFinding]:
    """Find frames whose energy is far from the rest of their cluster.

    Args:
        frames: frames with energies.
        residual: [n] eV/atom.
        clusters: indices of the frames of each cluster.
        fit: the subtracted part of the energy, in words.
    """
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
            f"{number(furthest, sign=True)} eV/atom",
            [frame for _, _, frame in far],
            fix="Look at these calculations: unconverged, another spin state, broken structure?",
        )
    ]


def force_outliers(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Find frames whose largest force is much larger than that of the others."""
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
            f"the largest |F| {number(float(np.median(largest)))} eV/Å); largest: "
            f"{number(float(largest[worst]))} eV/Å "
            f"in {frames[worst].where}",
            [frames[int(k)] for k in far],
            fix="Leave them out unless such structures matter; they dominate the force loss.",
        )
    ]
