"""Judgement whether a run had converged when it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pestle.records.parts import Convergence


def convergence(
    evaluations: Sequence[tuple[int, float]], window: int, threshold: float
) -> Convergence:
    """Judge the end of a run.

    A run has not converged if its best evaluation is among the last `window` ones and these lowered
    the best figure by more than `threshold`. A run with fewer evaluations is judged by all of them.

    Args:
        evaluations: (update, validation figure) in order, including the start; lower is better.
        window: number of evaluations that count as the last ones.
        threshold: relative improvement above which more training would help.

    Returns:
        The judgement, with the improvement over these evaluations and the best update.
    """
    assert evaluations
    # The starting model always counts as "before", so that a short run is judged as a whole.
    first = max(1, len(evaluations) - window)
    before, last = evaluations[:first], evaluations[first:]
    best_before = min(value for _, value in before)
    best_update, best = min(evaluations, key=lambda pair: pair[1])
    span = evaluations[-1][0] - before[-1][0]
    gained = 1.0 - best / best_before if 0 < best_before < math.inf else 0.0
    recent = bool(last) and best_update >= last[0][0]
    return Convergence(
        converged=not (recent and gained > threshold),
        improvement=max(0.0, gained),
        updates=span,
        best_update=best_update,
    )
