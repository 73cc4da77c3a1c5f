"""Frames that contain the same structure.

Two frames are the same if they have the same elements, charge, spin and head, and if one of two
conditions holds. Either all atoms coincide within `TOLERANCE` after a common translation and
periodic wrapping. Or, for reordered, rotated or differently cut copies, the lists of distances
between each pair of elements agree within it (mirror images have the same energy and count as the
same).

Candidates are found without comparing all pairs. If no atom moves by more than δ, the k-th shortest
distance of a structure changes by at most 2δ. Structures that are the same therefore lie within 2δ
of each other in a vector of such distances, and a k-d tree finds them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from pestle.structures.frame import Frame
from pestle.structures.pairs import Pairs, pairs_within

# Å. Files are written with 3 to 8 decimals; the next frame of an MD trajectory is 0.01 Å away.
TOLERANCE = 1e-3

# Distances compared in the confirmation of reordered copies: up to here in Å (all, in molecules).
CONFIRM_CUTOFF = 5.0

_COMPONENTS = 16


def fingerprint(pairs: Pairs, n_atoms: int) -> np.ndarray:
    """Return a vector of k-th shortest distances, for k from 1 to about 2 n_atoms.

    Args:
        pairs: pairs of atoms of the structure.
        n_atoms: number of atoms.

    Returns:
        [16] Å; the cutoff if there are fewer than k pairs.
    """
    ks = np.unique(np.geomspace(1, max(2 * n_atoms, 2), _COMPONENTS).astype(int)) - 1
    distances = np.full(ks[-1] + 1, pairs.cutoff)
    shortest = np.sort(pairs.distance)[: len(distances)]
    distances[: len(shortest)] = shortest
    vector = np.full(_COMPONENTS, pairs.cutoff)
    vector[: len(ks)] = distances[ks]
    return vector


def same_structure(a: Frame, b: Frame) -> bool:
    """Whether two frames of the same elements contain the same structure (see above)."""
    if np.array_equal(a.numbers, b.numbers) and _same_in_order(a, b):
        return True
    cutoff = CONFIRM_CUTOFF
    if not a.atoms.pbc.any():
        cutoff = 1.0 + max(float(np.linalg.norm(np.ptp(f.atoms.positions, axis=0))) for f in (a, b))
    lists = []
    for frame in (a, b):
        pairs = pairs_within(frame, cutoff)
        z1, z2 = frame.numbers[pairs.first], frame.numbers[pairs.second]
        kind = np.minimum(z1, z2) * 1000 + np.maximum(z1, z2)
        lists.append((kind, pairs.distance))
    kinds = np.unique(np.concatenate([lists[0][0], lists[1][0]]))
    for kind in kinds:
        one, two = (np.sort(d[k == kind]) for k, d in lists)
        # A pair may lie inside the cutoff in one frame and outside in the other.
        n = min(len(one), len(two))
        if (np.abs(one[:n] - two[:n]) > 2 * TOLERANCE).any():
            return False
        if any((d[n:] < cutoff - 2 * TOLERANCE).any() for d in (one, two)):
            return False
    return _same_volume(a, b)


def _same_volume(a: Frame, b: Frame) -> bool:
    if not a.is_periodic:
        return True
    va, vb = a.atoms.get_volume(), b.atoms.get_volume()
    return bool(abs(va - vb) <= 3 * TOLERANCE * max(va, vb) ** (2 / 3))


def _same_in_order(a: Frame, b: Frame) -> bool:
    pbc = np.asarray(a.atoms.pbc, dtype=bool)
    if (np.abs(a.atoms.cell.array - b.atoms.cell.array)[pbc] > TOLERANCE).any():
        return False
    shift = b.atoms.positions - a.atoms.positions
    shift = shift - shift[0]
    if pbc.any():
        complete = a.atoms.cell.complete().array
        fractional = shift @ np.linalg.inv(complete)
        fractional[:, pbc] -= np.rint(fractional[:, pbc])
        shift = fractional @ complete
    shift = shift - shift.mean(axis=0)
    return bool((np.linalg.norm(shift, axis=1) <= TOLERANCE).all())


def same_groups(frames: Sequence[Frame], pairs: Sequence[Pairs]) -> list[list[int]]:
    """Group frames that contain the same structure.

    Args:
        frames: the frames.
        pairs: pairs of atoms of each frame.

    Returns:
        Indices of the frames, one list for each structure that occurs at least twice.
    """
    families: dict[tuple, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        if len(frame) > 1 or frame.atoms.pbc.any():
            key = (
                np.sort(frame.numbers).tobytes(),
                np.asarray(frame.atoms.pbc).tobytes(),
                frame.charge,
                frame.spin,
                frame.head,
            )
            families[key].append(k)
    groups: list[list[int]] = []
    for members in families.values():
        if len(members) > 1:
            groups += _groups_of_family(frames, pairs, members)
    return groups


def _groups_of_family(
    frames: Sequence[Frame], pairs: Sequence[Pairs], members: Sequence[int]
) -> list[list[int]]:
    vectors = np.array([fingerprint(pairs[k], len(frames[k])) for k in members])
    # Exact copies first, however many: the tree then sees each structure once.
    exact: dict[bytes, list[list[int]]] = defaultdict(list)
    for row, k in enumerate(members):
        for group in exact[np.round(vectors[row], 5).tobytes()]:
            if same_structure(frames[members[group[0]]], frames[k]):
                group.append(row)
                break
        else:
            exact[np.round(vectors[row], 5).tobytes()].append([row])
    groups = [group for found in exact.values() for group in found]
    heads = np.array([group[0] for group in groups])
    tree = cKDTree(vectors[heads])
    same = [
        (i, j)
        for i, j in sorted(tree.query_pairs(2 * TOLERANCE, p=np.inf))
        if same_structure(frames[members[heads[i]]], frames[members[heads[j]]])
    ]
    first, second = np.array(same, dtype=int).reshape(-1, 2).T
    links = coo_array((np.ones(len(same)), (first, second)), shape=(len(groups), len(groups)))
    _, component = connected_components(links, directed=False)
    joined: dict[int, list[int]] = defaultdict(list)
    for k, group in zip(component.tolist(), groups, strict=True):
        joined[k] += [members[row] for row in group]
    return [sorted(group) for group in joined.values() if len(group) > 1]
