"""`method: auto`: which method, and why (the paper's sections 4 and 5).

What a method is chosen for, it declares itself (`base.Suited`); what counts as few or diverse data
stands here.

On very few frames the paper tells of replay only: with LoRA it succeeds where it fails alone (A.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pestle.adaptation.base import Amount, Method, Scope, Suited
from pestle.adaptation.methods import METHODS
from pestle.errors import PestleError

#: At most so many training frames are extreme scarcity: with 5 frames multihead replay fails and
#: replay with LoRA succeeds (A.2), with 60 every method that was tried works (Table 4).
SCARCE_FRAMES = 10
#: From so many elements or groups on, data are not one narrow system: those of the paper have 2 to
#: 4 elements and one or two kinds of configuration, its one diverse set (SPICE) 10 and 7.
MANY_ELEMENTS, MANY_GROUPS = 7, 4
#: Diverse data speak for themselves from so many frames for each element and group on: SPICE at one
#: frame a molecule has 19,687, and naive fine-tuning does as well there as any method (Fig. 8).
ENOUGH_FRAMES = 100

#: What is known of the labels of the replay structures at hand. `none`: no pool, or structures
#: without energy or forces; `pseudo`: made by a model; `misfit`: of another level of theory or unit
#: than the foundation's; `fit`: those of its pretraining, as far as can be seen.
PoolLabels = Literal["none", "pseudo", "misfit", "fit"]


@dataclass(frozen=True)
class Circumstances:
    """What the choice rests on.

    Attributes:
        scope: what the model is for; `None` if the user did not say.
        n_frames: training frames, isolated atoms left out.
        n_elements: elements in them.
        n_groups: their `config_type`s.
        pool: replay pools at hand, as named by the user.
        labels: of those pools.
    """

    scope: Scope | None
    n_frames: int
    n_elements: int
    n_groups: int
    pool: tuple[str, ...] = ()
    labels: PoolLabels = "none"

    @property
    def scarce(self) -> bool:
        """Whether the frames are too few for an unconstrained method."""
        return self.n_frames <= SCARCE_FRAMES

    @property
    def diverse(self) -> bool:
        """Whether the data are more than one system, and too few to cover all that they are."""
        many = self.n_elements >= MANY_ELEMENTS or self.n_groups >= MANY_GROUPS
        return many and self.n_frames < self.enough

    @property
    def enough(self) -> int:
        """Frames from which on diverse data speak for themselves."""
        return ENOUGH_FRAMES * max(self.n_elements, self.n_groups)


@dataclass(frozen=True)
class Choice:
    """A method, the reasons for it, and what would lead to another.

    Attributes:
        rank: of low-rank updates, where the method has them and the data speak for one.
    """

    method: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    rank: int | None = None


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
    return _broad(case) if case.scope == "broad" else _narrow(case)


def suited(
    scope: Scope, amount: Amount, labels: Literal["original", "foundation"] | None = None
) -> tuple[Method, Suited]:
    """The method that is chosen for such data, and what it says of them.

    Args:
        scope: what the model is for.
        amount: of the data.
        labels: of replay structures; `None` for methods without replay.
    """
    (found,) = (
        (method, use)
        for method in METHODS.values()
        for use in method.suited
        if (use.scope, use.amount, method.replay_labels) == (scope, amount, labels)
    )
    return found


def _narrow(case: Circumstances) -> Choice:
    ample, praise = suited("narrow", "ample")
    scarce, scarce_use = suited("narrow", "scarce")
    diverse, diverse_use = suited("narrow", "diverse")
    broad = "scope broad: replay, because only replay keeps the foundation's breadth and its wall"
    no_replay = "scope narrow: breadth need not survive, so no replay"
    few = f"{case.n_frames} training frames of {_kinds(case)}"
    if case.diverse:
        rank = diverse_use.rank
        more = f"rank {rank}: diverse data need more than one system does (paper 4)"
        return Choice(
            diverse.name,
            (
                f"{few} are few for each: {diverse_use.why}",
                *([more] if rank is not None else []),
                no_replay,
            ),
            (
                f"{case.enough} frames, {ENOUGH_FRAMES} for each element and group: {ample.name}",
                broad,
            ),
            rank=rank,
        )
    if case.scarce:
        return Choice(
            scarce.name,
            (f"{few} are few: {scarce_use.why}", no_replay),
            (f"more than {SCARCE_FRAMES} training frames: {ample.name}", broad),
            rank=scarce_use.rank,
        )
    return Choice(
        ample.name,
        (f"scope narrow, {few}: {praise.why}",),
        (
            broad,
            "instabilities in molecular dynamics: replay is the fallback (paper 5, point 4)",
            f"at most {SCARCE_FRAMES} training frames, or {MANY_ELEMENTS} elements or "
            f"{MANY_GROUPS} configuration groups with fewer than {ENOUGH_FRAMES} frames for each: "
            f"{_either(scarce, diverse)}",
        ),
        rank=praise.rank,
    )


def _broad(case: Circumstances) -> Choice:
    source, reason, change = _labels(case)
    ample, ample_use = suited("broad", "ample", source)
    scarce, scarce_use = suited("broad", "scarce", source)
    why = f"scope broad: {ample_use.why}"
    others = _either(suited("narrow", "ample")[0], suited("narrow", "scarce")[0])
    narrow = (
        f"scope narrow: {others}, at half the cost with these defaults, a third to a fifteenth "
        "in the paper (4)"
    )
    if case.scarce:
        few = f"{case.n_frames} training frames are extreme scarcity, {scarce_use.why}"
        more = f"more than {SCARCE_FRAMES} training frames: {ample.name}"
        return Choice(scarce.name, (why, few, reason), (more, change, narrow), scarce_use.rank)
    scarcity = f"at most {SCARCE_FRAMES} training frames: {scarce.name}"
    return Choice(ample.name, (why, reason), (change, scarcity, narrow), ample_use.rank)


def _either(one: Method, other: Method) -> str:
    return one.name if one is other else f"{one.name} or {other.name}"


def _labels(case: Circumstances) -> tuple[Literal["original", "foundation"], str, str]:
    """Where the replay labels come from, the reason, and what would lead to the other source."""
    pool = ", ".join(case.pool)
    same = "with equal results (paper 4, Fig. 11)"
    if case.labels == "fit":
        return (
            "original",
            f"{pool} is labelled and its labels agree with the foundation: they are used as they "
            f"are, nothing need be labelled, {same}",
            "a pool without labels, or with labels of another kind: pseudolabels",
        )
    why = {
        "none": f"{pool or 'no replay pool was named, structures are generated'}: the foundation "
        "labels them itself, so that no level of theory can be mixed",
        "pseudo": f"the labels of {pool} were made by a model: those of this foundation are used "
        "as they are, others made anew",
        "misfit": f"the labels of {pool} are of another level of theory or unit than the "
        "foundation's (warnings of `pestle replay`): the foundation labels the structures anew",
    }[case.labels]
    original, _ = suited("broad", "ample", "original")
    change = (
        f"the foundation's own labelled pretraining data as replay.pool: {original.name}, {same}"
    )
    return "foundation", why, change


def _kinds(case: Circumstances) -> str:
    groups = f"{case.n_groups} configuration group{'s' if case.n_groups != 1 else ''}"
    return f"{case.n_elements} element{'s' if case.n_elements != 1 else ''} in {groups}"
