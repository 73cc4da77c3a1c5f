"""Energy steps between frames of the same atoms that the forces do not explain.

Between neighbouring frames, the work of the forces explains nearly all of the energy change (see
`consistency`). The remainder is summed along a path through all frames. For labels of one
calculation it is constant at any temperature. For a mixture of two calculations it has two levels.
A path does not cross between isomers or phases, because such steps would be too long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist

from pestle.checks.consistency import MAX_DISPLACEMENT, comparable, step_between
from pestle.structures.frame import Frame

# Frames that the walk is laid through; others hang on the nearest of these.
_MAX_BACKBONE = 250
# Steps longer than this times the median step lead to another basin: no forces tell what they cost.
_LONG_STEP = 3.0


def unexplained_offsets(
    frames: Sequence[Frame], members: Sequence[int], *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return energy offsets within a family of the same atoms that the forces do not explain.

    Args:
        frames: frames; those of the family have energy and forces.
        members: indices of the family.
        seed: seed of the sample of frames on the path.

    Returns:
        Offset [n_members] in eV/atom, relative to the median of the component, and component
        [n_members]. Frames are compared only within a component; −1 if a frame has no neighbour.
    """
    vectors = np.array([comparable(frames[k]) for k in members])
    n = len(members)
    backbone = np.arange(n)
    if n > _MAX_BACKBONE:
        chosen = np.random.default_rng(seed).choice(n, _MAX_BACKBONE, replace=False)
        backbone = np.sort(chosen)
    distance = cdist(vectors[backbone], vectors[backbone])
    # The sparse matrix would treat a distance of zero as a missing edge.
    tree = minimum_spanning_tree(distance + 1e-9).tocoo()
    jumps = np.zeros_like(distance)
    lengths = np.full(distance.shape, np.inf)
    for i, j in zip(tree.row.tolist(), tree.col.tolist(), strict=True):
        jump, length = _jump(frames[members[backbone[i]]], frames[members[backbone[j]]])
        jumps[i, j], jumps[j, i] = jump, -jump
        lengths[i, j] = lengths[j, i] = length
    usable = lengths <= MAX_DISPLACEMENT
    limit = _LONG_STEP * float(np.median(lengths[usable])) if usable.any() else 0.0
    linked = usable & (lengths <= limit)
    _, label = connected_components(linked, directed=False)
    offset, component = np.zeros(n), np.full(n, -1)
    for one in np.unique(label):
        start = int(np.flatnonzero(label == one)[0])
        order, before = breadth_first_order(linked, start, directed=False)
        if len(order) == 1:
            continue
        for k in order[1:]:
            offset[backbone[k]] = offset[backbone[before[k]]] + jumps[before[k], k]
        component[backbone[order]] = one
    rest = np.setdiff1d(np.arange(n), backbone)
    if len(rest):
        nearest = backbone[cdist(vectors[rest], vectors[backbone]).argmin(axis=1)]
        for k, near in zip(rest.tolist(), nearest.tolist(), strict=True):
            jump, length = _jump(frames[members[near]], frames[members[k]])
            if length <= min(limit, MAX_DISPLACEMENT) and component[near] >= 0:
                offset[k], component[k] = offset[near] + jump, component[near]
    for one in np.unique(component):
        offset[component == one] -= np.median(offset[component == one])
    return offset, component


def steps_between(
    frames: Sequence[Frame], one: Sequence[int], other: Sequence[int], *, count: int
) -> np.ndarray:
    """Return what the forces leave unexplained on the shortest steps from one group to another.

    Each frame is the end of one step at most, so that no single frame decides.

    Args:
        frames: frames of the same atoms with energy and forces.
        one, other: indices of the groups.
        count: largest number of steps.

    Returns:
        [n_steps] eV/atom.
    """
    sides = [np.array([comparable(frames[k]) for k in group]) for group in (one, other)]
    distance = cdist(*sides)
    found: list[float] = []
    while len(found) < count and np.isfinite(distance).any():
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        distance[i, :], distance[:, j] = np.inf, np.inf
        jump, length = _jump(frames[one[int(i)]], frames[other[int(j)]])
        if length <= MAX_DISPLACEMENT:
            found.append(jump)
    return np.array(found)


def _jump(a: Frame, b: Frame) -> tuple[float, float]:
    """((E_b − E_a − work)/n in eV/atom, length of the step in Å: infinite where there is none)."""
    step = step_between(a, b)
    if step is None or a.energy is None or b.energy is None:
        return 0.0, np.inf
    return (b.energy - a.energy - step.force_work - step.stress_work) / len(a), step.rms
