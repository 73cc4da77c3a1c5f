"""Low-rank adaptation (paper, section 2.4): every linear layer gets a trainable update of low rank.

This applies to scalar and equivariant layers, including embedding and readouts, with the same rank
for every irrep block. The foundation's weights are fixed, and so is everything that is not the
weight of a linear layer: tensor products, symmetric contractions, and the biases of some models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.adaptation.base import Adaptation, Case, Method, Suited
from pestle.adaptation.recipes import Recipe, until_plateau
from pestle.wording import percent

if TYPE_CHECKING:
    from pestle.adaptation.low_rank import LowRankModel
    from pestle.foundations.interface import Foundation
    from pestle.settings.run import RunSettings

#: Number of clipped blocks that a note names.
NAMED = 3


def adapt(case: Case) -> Adaptation:
    """Train only the low-rank updates of all linear layers."""
    model, trainable, notes = adapters_on(case.start, case.settings, body_only=False)
    return Adaptation(model, trainable, notes=notes)


def adapters_on(
    model: Foundation, settings: RunSettings, *, body_only: bool
) -> tuple[LowRankModel, tuple[str, ...], tuple[str, ...]]:
    """Copy a foundation and add low-rank updates.

    Args:
        model: the foundation; not changed.
        settings: settings of the run; `lora` and `train.seed` are used.
        body_only: whether the readouts get no updates and are trained in full instead.

    Returns:
        The model, the names of the parameters to train, and notes for the user.

    Raises:
        PestleError: the foundation has no linear layer to adapt.
    """
    from pestle.adaptation.low_rank import LowRankModel
    from pestle.foundations.capabilities import Parts, require

    readouts = [
        name
        for group, names in (require(model, Parts).parameter_groups() if body_only else {}).items()
        if group.startswith("readout ")
        for name in names
    ]
    lora = settings.lora
    adapted = LowRankModel(
        model.copy(), lora.rank, alpha=lora.alpha, init_std=lora.init_std, seed=settings.train.seed,
        exclude=readouts,
    )  # fmt: skip
    wanted = {name for names in adapted.adapter_parameters().values() for name in names}
    wanted |= {f"base.{name}" for name in readouts}
    sizes = {name: p.numel() for name, p in adapted.named_parameters()}
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_(name in wanted)
    share = sum(sizes[name] for name in wanted) / sum(sizes.values())
    update = "BA" if lora.alpha is None else f"{lora.alpha:g}/{lora.rank} · BA"
    place = "all linear layers but the readouts', which are trained in full" if body_only else (
        "all linear layers"
    )  # fmt: skip
    notes = [
        f"updates {update} of rank {lora.rank} on {place}: {percent(share)} of base plus adapters"
    ]
    clipped = adapted.clipped()
    if clipped:
        more = ", …" if len(clipped) > NAMED else ""
        notes.append(f"rank clipped in {len(clipped)} blocks: {', '.join(clipped[:NAMED])}{more}")
    return adapted, tuple(name for name in sizes if name in wanted), tuple(notes)


TABLE_7 = Recipe(
    lr=1e-2,
    ema_decay=0.99,
    clip=10.0,
    why_lr="Table 7, LoRA: a low-rank update tolerates ten times the naive rate",
    why_ema="Table 7, LoRA: the adapters start at nothing, their early values are worth little",
    why_clip="Table 7, LoRA: a low-rank update cannot throw the weights far",
)
#: Rank for diverse data; a rank of 4 is enough for one system (paper 4).
DIVERSE_RANK = 16
_WHY = "a low rank limits how far they can pull the foundation (paper 2.4, 4)"
METHOD = Method(
    name="lora",
    words="low-rank updates of every linear layer (lora.rank); for few frames",
    title="LoRA fine-tuning",
    adapt=adapt,
    needs=("Adapters",),
    paper=TABLE_7,
    measured=until_plateau(TABLE_7),
    low_rank=True,
    suited=(
        Suited("narrow", "scarce", _WHY),
        Suited("narrow", "diverse", _WHY, rank=DIVERSE_RANK),
    ),
)
