"""Methods of adaptation. A new one is a file with an `adapt(case)` and a line here."""

from __future__ import annotations

from pestle.adaptation import freeze, lora, multihead, multihead_lora, naive, scratch
from pestle.adaptation.base import Adaptation, Case, Method

METHODS: dict[str, Method] = {
    "scratch": Method(scratch.adapt, from_scratch=True),
    "naive": Method(naive.adapt),
    "freeze-first": Method(freeze.adapt_first),
    "freeze-backbone": Method(freeze.adapt_backbone),
    "mace-5": Method(freeze.adapt_mace_5),
    "mace-6": Method(freeze.adapt_mace_6),
    "lora": Method(lora.adapt, low_rank=True),
    "multihead": Method(multihead.adapt, replay_labels="original"),
    "pseudolabel": Method(multihead.adapt, replay_labels="foundation"),
    "multihead-lora": Method(multihead_lora.adapt, replay_labels="original", low_rank=True),
    "pseudolabel-lora": Method(multihead_lora.adapt, replay_labels="foundation", low_rank=True),
}

__all__ = ["METHODS", "Adaptation", "Case", "Method"]
