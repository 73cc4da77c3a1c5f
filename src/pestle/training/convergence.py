"""Whether a run ended because there was nothing more to learn, or because its time was over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Convergence:
    """How a run ended.

    Attributes:
        converged: whether the figure that chooses the model had stopped to improve.
        improvement: by what share it fell over the last `updates` updates.
        updates: how many those are.
        best_update: update after which the best model was found.
    """

    converged: bool
    improvement: float
    updates: int
    best_update: int

    @property
    def pace(self) -> str:
        """`still improving by 7% per 500 updates`."""
        return f"still improving by {self.improvement:.0%} per {self.updates:,} updates"


def convergence(
    evaluations: Sequence[tuple[int, float]], window: int, threshold: float
) -> Convergence:
    """Judge the end of a run.

    A run has not converged if its best evaluation is among the last `window`, and these lowered the
    best value by more than `threshold`. A run with fewer evaluations is judged by all of them.

    Args:
        evaluations: (update, validation figure) in order, the start included; lower is better.
        window: evaluations that count as the last.
        threshold: relative improvement over them that says that there is more to gain.
    """
    assert evaluations
    # The start is no result: with nothing else before, all that was learned is recent.
    first = max(1, len(evaluations) - window)
    before, last = evaluations[:first], evaluations[first:]
    best_before = min(value for _, value in before)
    best_update, best = min(evaluations, key=lambda pair: pair[1])
    span = evaluations[-1][0] - before[-1][0]
    gained = 1.0 - best / best_before if 0 < best_before < math.inf else 0.0
    recent = bool(last) and best_update >= last[0][0]
    return Convergence(not (recent and gained > threshold), max(0.0, gained), span, best_update)
