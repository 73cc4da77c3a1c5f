"""Naive fine-tuning: all weights are trained from the foundation's values (paper, 2.2)."""

from __future__ import annotations

from pestle.adaptation.base import Adaptation, Case, Method, Suited
from pestle.adaptation.recipes import Recipe, until_plateau


def adapt(case: Case) -> Adaptation:
    """Train all parameters of the foundation."""
    # A copy, because the unchanged model is the baseline with which the result is compared.
    model = case.start.copy()
    return Adaptation(model, tuple(name for name, _ in model.named_parameters()))


TABLE_7 = Recipe(
    lr=1e-3,
    ema_decay=0.999,
    clip=1.0,
    why_lr="Table 7, naive: a tenth of the rate from scratch, so that no step leaves the "
    "foundation's basin; tuned on MACE models",
    why_ema="Table 7, naive: a longer memory limits the drift from the foundation",
    why_clip="Table 7, naive: one odd batch must not throw the weights away",
)
METHOD = Method(
    name="naive",
    words="all weights; the first thing to try on one narrow system",
    adapt=adapt,
    paper=TABLE_7,
    measured=until_plateau(TABLE_7),
    suited=(
        Suited(
            "narrow",
            "ample",
            "naive fine-tuning is accurate, quick and hard to beat (paper 5, point 4; Table 4, "
            "Fig. 8)",
        ),
    ),
)
