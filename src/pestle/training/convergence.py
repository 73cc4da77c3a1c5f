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
    The improvement is told of its last quarter, so that the steep fall at the beginning of a short
    run is not taken for its pace at the end.

    Args:
        evaluations: (update, validation figure) in order, including the start; lower is better.
        window: number of evaluations that count as the last ones.
        threshold: relative improvement above which more training would help.

    Returns:
        The judgement, with the improvement over these evaluations, at most the last quarter of all
        unless the best one lies before it, and the best update.
    """
    assert evaluations
    # The starting model always counts as "before", so that a short run is judged as a whole.
    first = max(1, len(evaluations) - window)
    before, last = evaluations[:first], evaluations[first:]
    best_before = min(value for _, value in before)
    best_update, best = min(evaluations, key=lambda pair: pair[1])
    recent = bool(last) and best_update >= last[0][0]
    converged = not (recent and _gained(best, best_before) > threshold)
    if recent:
        steps = [step for step, _ in evaluations]
        quarter = len(evaluations) - math.ceil((len(evaluations) - 1) / 4)
        first = max(first, min(quarter, steps.index(best_update)))
    before = evaluations[:first]
    return Convergence(
        converged=converged,
        improvement=max(0.0, _gained(best, min(value for _, value in before))),
        updates=evaluations[-1][0] - before[-1][0],
        best_update=best_update,
    )


def _gained(best: float, before: float) -> float:
    """Return the fraction by which a figure decreased; 0 without a figure before."""
    return 1.0 - best / before if 0 < before < math.inf else 0.0
