"""`method: auto`: which method, and why (the paper's section 5 and appendix A.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pestle.errors import PestleError

#: At most so many training frames are extreme scarcity: with 5 frames multihead replay fails and
#: only replay with LoRA succeeds (A.2), with 60 every method works (Table 4).
SCARCE_FRAMES = 10
#: From so many elements or groups on, data called narrow deserve a second look: the paper's narrow
#: systems have 3 to 4 elements and one kind of configuration.
MANY_ELEMENTS, MANY_GROUPS = 7, 4


@dataclass(frozen=True)
class Circumstances:
    """What the choice rests on.

    Attributes:
        scope: what the model is for; `None` if the user did not say.
        n_frames: training frames, isolated atoms left out.
        n_elements: elements in them.
        n_groups: their `config_type`s.
        pool: replay pools at hand, as named by the user.
    """

    scope: Literal["narrow", "broad"] | None
    n_frames: int
    n_elements: int
    n_groups: int
    pool: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A method, the reasons for it, and what would lead to another."""

    method: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]


def choose(case: Circumstances) -> Choice:
    """The method for a case.

    Raises:
        PestleError: the scope is not known, and nothing in the data can tell it.
    """
    if case.scope is None:
        raise PestleError(
            "the method depends on what the model is for, and only you know that",
            where="scope",
            fix="--scope narrow: configurations like those of the data. --scope broad: also others "
            "(structure search, new compositions), where the foundation's breadth must survive.",
        )
    return _narrow(case) if case.scope == "narrow" else _broad(case)


def _narrow(case: Circumstances) -> Choice:
    broad = "scope broad: replay, because only replay keeps the foundation's breadth and its wall"
    if case.n_frames <= SCARCE_FRAMES:
        return Choice(
            "lora",
            (
                f"{case.n_frames} training frames are few: a low rank limits how far they can pull "
                "the foundation (paper 2.4, 4; A.2 for 5 frames)",
                "scope narrow: breadth need not survive, so no replay",
            ),
            (f"more than {SCARCE_FRAMES} training frames: naive", broad),
        )
    reasons = [
        f"scope narrow, {case.n_frames} training frames: naive fine-tuning is accurate, quick and "
        "hard to beat on one system (paper 5, point 4; Table 4)"
    ]
    if case.n_elements >= MANY_ELEMENTS or case.n_groups >= MANY_GROUPS:
        reasons.append(
            f"but {case.n_elements} elements and {case.n_groups} configuration groups are not what "
            "one narrow system looks like: replay transfers better between related ones (Fig. 7)"
        )
    return Choice(
        "naive",
        tuple(reasons),
        (
            broad,
            "instabilities in molecular dynamics: replay is the fallback (paper 5, point 4)",
            f"at most {SCARCE_FRAMES} training frames: lora",
        ),
    )


def _broad(case: Circumstances) -> Choice:
    pool = (
        f"replay structures from {', '.join(case.pool)}"
        if case.pool
        else "no replay pool was named: structures are generated"
    )
    breadth = (
        "scope broad: replay is the only approach that keeps the foundation's breadth and its "
        "repulsive wall (paper 5, point 5)"
    )
    labels = (
        f"{pool}; the foundation labels them itself, so that no level of theory can be mixed, and "
        "the result is as good as with original labels (paper 4, Fig. 11)"
    )
    narrow = "scope narrow: naive, three to fifteen times cheaper (paper 4)"
    if case.n_frames <= SCARCE_FRAMES:
        return Choice(
            "pseudolabel-lora",
            (
                breadth,
                f"{case.n_frames} training frames are extreme scarcity, where replay alone fails "
                "and replay with LoRA succeeds (A.2)",
                labels,
            ),
            (f"more than {SCARCE_FRAMES} training frames: pseudolabel", narrow),
        )
    return Choice(
        "pseudolabel",
        (breadth, labels),
        (
            "the foundation's own pretraining data at hand: multihead, with equal results",
            f"at most {SCARCE_FRAMES} training frames: pseudolabel-lora",
            narrow,
        ),
    )
