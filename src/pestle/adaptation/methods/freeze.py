"""Layer freezing: some parts keep the foundation's weights, the others are trained (paper, 2.3).

The parts are those of `Parts.parameter_groups`. `freeze-first` and `freeze-backbone` follow the
description in section 2.3; `mace-5` and `mace-6` are the numbers of the paper's Table 4 and of
mace's option `--freeze`.

About `freeze-first` the paper says: "Freeze embedding and first message-passing layer. The
embedding weights and first interaction block are frozen, while later interaction blocks and
readouts are trainable." A layer of MACE consists of an interaction block, which collects the
neighbours, and a product block, which makes the message; the text does not mention product blocks.
`freeze-first` follows the first sentence and fixes the whole first layer, so that the input of the
second layer is exactly that of the foundation.

The backbone includes parts that only some models have: the embedding of charge and spin, and
long-range electrostatics. (With mace's option, the former and the readouts of the latter are
trained at any number; here they are fixed.) A readout of the embedding counts as a readout.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pestle.adaptation.base import Adaptation, Case, Method
from pestle.adaptation.recipes import Recipe, until_plateau
from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation


def adapt_first(case: Case) -> Adaptation:
    """`freeze-first`: fix the embedding, the first interaction and its product block."""
    return train_all_but(case, "embedding", "interaction 1", "product 1")


def adapt_backbone(case: Case) -> Adaptation:
    """`freeze-backbone`: fix everything except the readouts."""
    return train_only(case, "readout *")


def adapt_mace_5(case: Case) -> Adaptation:
    """`mace-5`: fix the embedding and all interactions, train products and readouts."""
    return train_only(case, "product *", "readout *")


def adapt_mace_6(case: Case) -> Adaptation:
    """`mace-6`: fix embedding, interactions and products, as `freeze-backbone` does."""
    return train_only(case, "readout *")


def train_only(case: Case, *patterns: str) -> Adaptation:
    """Train the parameters that match the patterns and fix all others.

    Args:
        case: input of the method.
        *patterns: as in `matching`.

    Raises:
        PestleError: a pattern matches nothing, or nothing is left to train.
    """
    return _adaptation(case, set(matching(case.start, patterns)))


def train_all_but(case: Case, *patterns: str) -> Adaptation:
    """Fix the parameters that match the patterns and train all others.

    Args:
        case: input of the method.
        *patterns: as in `matching`.

    Raises:
        PestleError: a pattern matches nothing, or nothing is left to train.
    """
    fixed = set(matching(case.start, patterns))
    return _adaptation(case, {n for n, _ in case.start.named_parameters()} - fixed)


def matching(model: Foundation, patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the parameters that match the patterns, in the model's order.

    Args:
        model: a foundation.
        patterns: each is a part of the architecture (`embedding`, `interaction 2`) or the name of a
            parameter, with `*` for any text: `readout *`, `*.linear_up.weight`.

    Raises:
        PestleError: a pattern matches nothing in this model.
    """
    from pestle.foundations.capabilities import Parts, require

    groups = require(model, Parts).parameter_groups()
    group_of = {name: group for group, names in groups.items() for name in names}
    found: set[str] = set()
    for pattern in patterns:
        hits = {
            name
            for name, group in group_of.items()
            if fnmatchcase(group, pattern) or fnmatchcase(name, pattern)
        }
        if not hits:
            raise PestleError(
                f"the pattern '{pattern}' names no part and no parameter of "
                f"{model.provenance.name}",
                where="method",
                fix=f"{nearest(pattern, groups)} Its parts are {', '.join(groups)}.".lstrip(),
            )
        found |= hits
    return tuple(name for name, _ in model.named_parameters() if name in found)


def _adaptation(case: Case, trained: set[str]) -> Adaptation:
    from pestle.foundations.capabilities import parts_of

    # A copy, because the unchanged model is the baseline with which the result is compared.
    model = case.start.copy()
    trainable = tuple(name for name, _ in model.named_parameters() if name in trained)
    if not trainable:
        raise PestleError("every weight of the model would be fixed", where="method")
    fixed = [
        group if not trained.intersection(names) else f"part of {group}"
        for group, names in parts_of(model).items()
        if not trained.issuperset(names)
    ]
    return Adaptation(model, trainable, notes=(f"fixed: {', '.join(fixed)}",))


TABLE_7 = Recipe(
    lr=1e-3,
    ema_decay=0.999,
    clip=1.0,
    why_lr="Table 7, freeze: what is trained is trained as in naive fine-tuning",
    why_ema="Table 7, freeze: as naive",
    why_clip="Table 7, freeze: as naive",
)
MEASURED = until_plateau(TABLE_7)
METHODS = (
    Method(
        name="freeze-first",
        words="all but the embedding and the first layer; for comparison",
        adapt=adapt_first,
        needs=("Parts",),
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="freeze-backbone",
        words="the readouts; for comparison, and where nothing else may move",
        adapt=adapt_backbone,
        needs=("Parts",),
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="mace-5",
        words="products and readouts, as mace-torch's --freeze 5; for comparison",
        adapt=adapt_mace_5,
        needs=("Parts",),
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="mace-6",
        words="the readouts, as mace-torch's --freeze 6; for comparison",
        adapt=adapt_mace_6,
        needs=("Parts",),
        paper=TABLE_7,
        measured=MEASURED,
    ),
)
