"""Layer freezing: some parts keep the foundation's weights, the others are trained (paper, 2.3).

The parts are those of `Foundation.parameter_groups`. `freeze-first` and `freeze-backbone` are what
section 2.3 describes; `mace-5` and `mace-6` are the numbers that the paper's Table 4 and mace's
`--freeze` use.

Of the first the paper says "Freeze embedding and first message-passing layer. The embedding weights
and first interaction block are frozen, while later interaction blocks and readouts are trainable."
A layer of MACE is an interaction block, which gathers the neighbours, and the product block that
makes its message; the text names no product block. `freeze-first` follows the heading and fixes the
whole first layer: what the second layer reads is then the foundation's, to the bit.

A backbone includes what some models have beyond the numbered parts: the embedding
of charge and spin, and long-range electrostatics. (mace's optimiser goes on training the former and
the readouts of the latter under any number; here they stay.) A readout of the embedding is a
readout.
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
    """`freeze-first`: embedding, first interaction and its product block fixed."""
    return train_all_but(case, "embedding", "interaction 1", "product 1")


def adapt_backbone(case: Case) -> Adaptation:
    """`freeze-backbone`: all but the readouts fixed."""
    return train_only(case, "readout *")


def adapt_mace_5(case: Case) -> Adaptation:
    """`mace-5`: embedding and all interactions fixed, products and readouts trained."""
    return train_only(case, "product *", "readout *")


def adapt_mace_6(case: Case) -> Adaptation:
    """`mace-6`: embedding, interactions and products fixed, as `freeze-backbone` has it."""
    return train_only(case, "readout *")


def train_only(case: Case, *patterns: str) -> Adaptation:
    """Train the parameters that the patterns name (see `matching`), fix all others."""
    return _adaptation(case, set(matching(case.start, patterns)))


def train_all_but(case: Case, *patterns: str) -> Adaptation:
    """Fix the parameters that the patterns name (see `matching`), train all others."""
    fixed = set(matching(case.start, patterns))
    return _adaptation(case, {n for n, _ in case.start.named_parameters()} - fixed)


def matching(model: Foundation, patterns: Iterable[str]) -> tuple[str, ...]:
    """Names of the parameters that the patterns name, in the model's order.

    Args:
        model: a foundation.
        patterns: each a part of the architecture (`embedding`, `interaction 2`) or the name of a
            parameter, with `*` for anything: `readout *`, `*.linear_up.weight`.

    Raises:
        PestleError: a pattern names nothing in this model.
    """
    groups = model.parameter_groups()
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
    # A copy: the foundation with the run's E0s stays the baseline that the result is judged by.
    model = case.start.copy()
    trainable = tuple(name for name, _ in model.named_parameters() if name in trained)
    if not trainable:
        raise PestleError("every weight of the model would be fixed", where="method")
    fixed = [
        group if not trained.intersection(names) else f"part of {group}"
        for group, names in model.parameter_groups().items()
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
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="freeze-backbone",
        words="the readouts; for comparison, and where nothing else may move",
        adapt=adapt_backbone,
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="mace-5",
        words="products and readouts, as mace-torch's --freeze 5; for comparison",
        adapt=adapt_mace_5,
        paper=TABLE_7,
        measured=MEASURED,
    ),
    Method(
        name="mace-6",
        words="the readouts, as mace-torch's --freeze 6; for comparison",
        adapt=adapt_mace_6,
        paper=TABLE_7,
        measured=MEASURED,
    ),
)
