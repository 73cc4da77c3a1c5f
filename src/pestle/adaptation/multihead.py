"""Multihead replay: one body, a readout for the target and one for what the foundation knows.

Paper, section 2.5. Both heads begin as the foundation's readout; the target head has the E0s of the
data, the replay head keeps the foundation's. Original labels and pseudolabels share this file: the
label source is the business of the replay set.
"""

from __future__ import annotations

from pestle.adaptation.base import Adaptation, Case
from pestle.foundations.capabilities import Heads, require
from pestle.foundations.interface import REPLAY_HEAD, Foundation


def adapt(case: Case) -> Adaptation:
    """Train every parameter of the two-head model."""
    model = with_replay_head(case)
    names = tuple(name for name, _ in model.named_parameters())
    return Adaptation(model, names, notes=(HEADS_NOTE,))


def with_replay_head(case: Case) -> Foundation:
    """The starting model with a second head, last the target's: programs that do not know a head's
    name take the last one."""
    start = require(case.start, Heads)
    model = start.with_heads({REPLAY_HEAD: case.head, case.head: case.head})
    kept = {z: e for z, e in case.foundation_e0s.items() if z in set(model.elements)}
    return model.with_reference_energies(REPLAY_HEAD, kept)


HEADS_NOTE = (
    f"two heads: {REPLAY_HEAD} replays the foundation with its own E0s, Default is the target; "
    "the body is shared"
)
