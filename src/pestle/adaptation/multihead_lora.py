"""Replay with LoRA: adapters on the shared body, the readouts of both heads trained in full.

Paper, appendix A.2.
"""

from __future__ import annotations

from pestle.adaptation.base import Adaptation, Case
from pestle.adaptation.lora import adapters_on
from pestle.adaptation.multihead import HEADS_NOTE, with_replay_head


def adapt(case: Case) -> Adaptation:
    """Train the adapters of the body and the readouts."""
    model, names, notes = adapters_on(with_replay_head(case), case.settings, body_only=True)
    return Adaptation(model, names, notes=(HEADS_NOTE, *notes))
