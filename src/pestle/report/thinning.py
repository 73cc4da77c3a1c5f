"""Fewer points where a page could not show more of them, without losing what stands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pestle.protocols.results import Chart
from pestle.structures.frame import evenly

#: Values that a series keeps at most, from the finest to the coarsest.
STEPS = (3000, 1500, 800, 400, 200, 100, 50)
#: Values on a page at most: about 3 MB of text beside the 5 MB of the plotting library.
PAGE_VALUES = 150_000
#: Of a thinned cloud, the share that goes to the largest deviations from the diagonal.
WORST_SHARE = 0.1
#: An SVG with more points in a cloud is slow to open and no clearer.
CLOUD = 1500


def limit_for(charts: Sequence[Chart]) -> int:
    """Values that each series may keep so that a page with these charts stays small."""
    lengths = np.array([len(series.y) for chart in charts for series in chart.series])
    return next((n for n in STEPS if np.minimum(lengths, n).sum() <= PAGE_VALUES), STEPS[-1])


def cloud(x: Sequence[float], y: Sequence[float], limit: int, *, diagonal: bool) -> np.ndarray:
    """Indices of the points to keep: evenly, and with a diagonal the largest deviations from it."""
    limit = min(limit, CLOUD)
    if len(x) <= limit:
        return np.arange(len(x))
    worst = round(WORST_SHARE * limit) if diagonal else 0
    deviation = (
        -np.abs(np.asarray(y, float) - np.asarray(x, float)) if diagonal else np.zeros(len(x))
    )
    order = np.argsort(deviation, kind="stable")
    rest = np.sort(order[worst:]).tolist()
    return np.sort([*order[:worst].tolist(), *evenly(rest, limit - worst)])


def line(y: Sequence[float | None], limit: int) -> np.ndarray:
    """Indices to keep of a curve: the lowest and the highest of each stretch, and every gap."""
    if len(y) <= limit:
        return np.arange(len(y))
    values = np.array([np.nan if v is None else v for v in y], dtype=float)
    keep = [0, len(values) - 1]
    for part in np.array_split(np.arange(len(values)), max(1, limit // 3)):
        gaps = np.isnan(values[part])
        keep += part[gaps][:1].tolist()
        if not gaps.all():
            keep += [int(part[np.nanargmin(values[part])]), int(part[np.nanargmax(values[part])])]
    return np.array(sorted(set(keep)))


def distribution(values: Sequence[float], limit: int) -> list[float]:
    """Fewer values with the same quantiles, both ends included."""
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) > limit:
        ordered = ordered[np.linspace(0, len(ordered) - 1, limit).round().astype(int)]
    return ordered.tolist()


def picked(values: Sequence[Any], indices: np.ndarray) -> list[Any]:
    """The values at these indices."""
    return [values[k] for k in indices]
