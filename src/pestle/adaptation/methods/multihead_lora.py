"""Replay with LoRA: adapters on the shared body, both readouts trained in full (paper, A.2)."""

from __future__ import annotations

from pestle.adaptation.base import Adaptation, Case, Method, Suited
from pestle.adaptation.methods.lora import adapters_on
from pestle.adaptation.methods.multihead import (
    MULTIHEAD_REPLAY,
    PSEUDOLABEL_REPLAY,
    measured,
    with_replay_head,
)
from pestle.adaptation.recipes import Recipe, ReplayRecipe


def adapt(case: Case) -> Adaptation:
    """Train the adapters of the body, and the readouts."""
    start, note = with_replay_head(case)
    model, names, notes = adapters_on(start, case.settings, body_only=True)
    return Adaptation(model, names, notes=(note, *notes))


TABLE_7 = Recipe(
    lr=1e-3,
    ema_decay=0.999,
    clip=10.0,
    why_lr="Table 7, MH + LoRA: between replay (1e-4) and LoRA (1e-2)",
    why_ema="Table 7, MH + LoRA",
    why_clip="Table 7, MH + LoRA: as LoRA, a low-rank update cannot throw the weights far",
    replay=ReplayRecipe(),
)
SUITED = (
    Suited("broad", "scarce", "where replay alone fails and replay with LoRA succeeds (A.2)"),
)
METHODS = (
    Method(
        name="multihead-lora",
        words="low-rank updates of the body and all weights of the readouts, with replay as "
        "multihead; for broad use and at most ten frames",
        title="multihead replay fine-tuning with LoRA",
        adapt=adapt,
        needs=("Heads", "Adapters", "Parts"),
        paper=TABLE_7,
        measured=measured(TABLE_7, MULTIHEAD_REPLAY),
        replay_labels="original",
        low_rank=True,
        suited=SUITED,
    ),
    Method(
        name="pseudolabel-lora",
        words="low-rank updates of the body and all weights of the readouts, with replay as "
        "pseudolabel; for broad use and at most ten frames",
        title="pseudolabelled replay fine-tuning with LoRA",
        adapt=adapt,
        needs=("Heads", "Adapters", "Parts"),
        paper=TABLE_7,
        measured=measured(TABLE_7, PSEUDOLABEL_REPLAY),
        replay_labels="foundation",
        low_rank=True,
        suited=SUITED,
    ),
)
