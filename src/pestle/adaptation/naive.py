"""Naive fine-tuning: all weights go on from the foundation's (paper, section 2.2)."""

from __future__ import annotations

from pestle.adaptation.base import Adaptation, Case


def adapt(case: Case) -> Adaptation:
    """Train every parameter of the foundation."""
    # A copy: the foundation with the run's E0s stays the baseline that the result is judged by.
    model = case.start.copy()
    return Adaptation(model, tuple(name for name, _ in model.named_parameters()))
