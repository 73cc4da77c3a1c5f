"""Robust statistics for the checks: scales, fits and gaps that do not depend on outliers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Median absolute deviation → standard deviation of a normal distribution.
MAD_TO_SIGMA = 1.4826

# Huber weights of the composition fit start to fall at this many standard deviations.
_HUBER_WIDTH = 1.5
_FIT_ITERATIONS = 30


def mad(values: np.ndarray) -> float:
    """Return the standard deviation, estimated from the median absolute deviation.

    Args:
        values: [n].
    """
    values = np.asarray(values, dtype=float)
    if not len(values):
        return 0.0
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def robust_z(values: np.ndarray, floor: float) -> np.ndarray:
    """Return the distance from the median in standard deviations.

    Args:
        values: [n].
        floor: smallest standard deviation that is used.

    Returns:
        [n].
    """
    return (values - np.median(values)) / max(mad(values), floor)


def composition_residual(energy: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Energy per atom [n] that a sum over elements leaves unexplained.

    Huber-weighted least squares of the energy per atom on the composition per atom, so that a few
    wrong frames do not tilt the fit. The median is removed at the end.

    Args:
        energy: [n] total energies in eV.
        counts: [n, n_elements] atoms of each element.
    """
    n_atoms = counts.sum(axis=1)
    fractions, target = counts / n_atoms[:, None], energy / n_atoms
    # Centred first: all-electron totals are 1e4 times larger than what is looked for.
    centre = np.median(target)
    target = target - centre
    weight = np.ones(len(target))
    residual = target
    for _ in range(_FIT_ITERATIONS):
        root = np.sqrt(weight)[:, None]
        solution = np.linalg.lstsq(fractions * root, target * root[:, 0], rcond=1e-10)[0]
        residual = target - fractions @ solution
        width = _HUBER_WIDTH * max(mad(residual), 1e-6)
        new = np.minimum(1.0, width / np.maximum(np.abs(residual), 1e-300))
        if np.abs(new - weight).max() < 1e-4:
            break
        weight = new
    return residual - np.median(residual)


def project_out(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return values per atom minus their least-squares fit to the composition.

    Args:
        values: [n].
        counts: [n, n_elements] atoms of each element.

    Returns:
        [n].
    """
    n_atoms = counts.sum(axis=1)
    fractions, target = counts / n_atoms[:, None], values / n_atoms
    target = target - np.median(target)
    return target - fractions @ np.linalg.lstsq(fractions, target, rcond=1e-10)[0]


def slope_through_origin(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return a robust slope and correlation of y on x through the origin.

    The slope minimises Σ|y − slope·x|: it is the median of y/x weighted by |x|. The correlation
    excludes pairs with extreme deviations, so that single outliers do not hide it.

    Args:
        x, y: [n].

    Returns:
        (slope, correlation).
    """
    x, y = np.ravel(x).astype(float), np.ravel(y).astype(float)
    keep = x != 0
    x, y = x[keep], y[keep]
    if len(x) < 2:
        return 0.0, 0.0
    ratio, weight = y / x, np.abs(x)
    order = np.argsort(ratio)
    total = np.cumsum(weight[order])
    slope = float(ratio[order][np.searchsorted(total, total[-1] / 2)])
    deviation = np.abs(y - slope * x)
    good = deviation <= 10 * max(np.median(deviation), 1e-12 * np.abs(y).max())
    norm = np.sqrt((x[good] ** 2).sum() * (y[good] ** 2).sum())
    return slope, float((x[good] * y[good]).sum() / norm) if norm else 0.0


def split_at_gaps(
    values: np.ndarray, *, min_gap: float, min_ratio: float, min_side: int, max_parts: int = 4
) -> list[np.ndarray]:
    """Indices of the clusters that clear gaps divide the values into; one if there is no gap.

    The values are cut at the widest gaps of their sorted list; a cut counts when the empty interval
    is at least `min_gap` wide and `min_ratio` times the spread inside the clusters (pooled MAD, as
    a standard deviation), and when every cluster holds at least `min_side` values. Of the
    numbers of clusters that pass, the largest is taken.
    """
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    candidates = [int(k) for k in np.argsort(-gaps) if gaps[k] >= min_gap]
    # Gaps that only split off a few values at the ends belong to outliers, not to clusters.
    candidates = [k for k in candidates if min(k + 1, len(values) - k - 1) >= min_side]
    best = [np.arange(len(values))]
    for parts in range(2, max_parts + 1):
        if len(candidates) < parts - 1:
            break
        cuts = sorted(candidates[: parts - 1])
        pieces: Sequence[np.ndarray] = np.split(order, np.array(cuts) + 1)
        if min(len(piece) for piece in pieces) < min_side:
            continue
        inside = np.concatenate([values[p] - np.median(values[p]) for p in pieces])
        if gaps[cuts].min() >= min_ratio * MAD_TO_SIGMA * np.median(np.abs(inside)):
            best = list(pieces)
    return best
