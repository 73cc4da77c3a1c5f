"""Methods of adaptation. A new one is a file with an `adapt(case)` and a line here."""

from __future__ import annotations

from pestle.adaptation import freeze, lora, multihead, multihead_lora, naive, scratch
from pestle.adaptation.base import Adaptation, Case, Method
from pestle.foundations.capabilities import Adapters, Heads, Parts, RandomWeights

METHODS: dict[str, Method] = {
    "scratch": Method(scratch.adapt, from_scratch=True, needs=(RandomWeights,)),
    "naive": Method(naive.adapt),
    "freeze-first": Method(freeze.adapt_first, needs=(Parts,)),
    "freeze-backbone": Method(freeze.adapt_backbone, needs=(Parts,)),
    "mace-5": Method(freeze.adapt_mace_5, needs=(Parts,)),
    "mace-6": Method(freeze.adapt_mace_6, needs=(Parts,)),
    "lora": Method(lora.adapt, low_rank=True, needs=(Adapters,)),
    "multihead": Method(multihead.adapt, replay_labels="original", needs=(Heads,)),
    "pseudolabel": Method(multihead.adapt, replay_labels="foundation", needs=(Heads,)),
    "multihead-lora": Method(
        multihead_lora.adapt,
        replay_labels="original",
        low_rank=True,
        needs=(Heads, Adapters, Parts),
    ),
    "pseudolabel-lora": Method(
        multihead_lora.adapt,
        replay_labels="foundation",
        low_rank=True,
        needs=(Heads, Adapters, Parts),
    ),
}

__all__ = ["METHODS", "Adaptation", "Case", "Method"]
