"""Replay sets: broad structures that preserve what the foundation knows (paper, 2.5)."""

from __future__ import annotations

from pestle.adaptation.replay.composition import data_elements, structures_by_element
from pestle.adaptation.replay.replay_set import ReplaySet, compare_labels, make_replay_set

__all__ = [
    "ReplaySet",
    "compare_labels",
    "data_elements",
    "make_replay_set",
    "structures_by_element",
]
