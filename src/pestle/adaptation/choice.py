"""`method: auto`: choice of a method, with reasons (the paper's sections 4 and 5).

Each method declares what it is suited for (`base.Suited`). This file defines which data are few or
diverse. For very few frames the paper makes a statement only about replay: it fails alone and works
with LoRA (A.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pestle.adaptation.base import Amount, Method, Suited
from pestle.adaptation.methods import METHODS
from pestle.errors import PestleError
from pestle.settings.scope import Scope
from pestle.wording import counted

#: Largest number of training frames that counts as extreme scarcity: with 5 frames multihead replay
#: fails and replay with LoRA succeeds (A.2), with 60 every method that was tried works (Table 4).
SCARCE_FRAMES = 10
#: Data with at least so many elements or groups are not one narrow system: those of the paper have
#: 2 to 4 elements and one or two kinds of configuration, its only diverse set (SPICE) 10 and 7.
MANY_ELEMENTS, MANY_GROUPS = 7, 4
#: Number of frames per element and group that is enough for diverse data: SPICE with one frame per
#: molecule has 19,687, and naive fine-tuning is as good there as any method (Fig. 8).
ENOUGH_FRAMES = 100

#: Kind of labels of the available replay structures. `none`: no pool, or structures without energy
#: or forces; `pseudo`: made by a model; `misfit`: another level of theory or unit than the
#: foundation's; `fit`: apparently those of its pretraining.
PoolLabels = Literal["none", "pseudo", "misfit", "fit"]


@dataclass(frozen=True)
class Circumstances:
    """The facts on which the choice depends.

    Attributes:
        scope: purpose of the model; `None` if the user did not give it.
        n_frames: number of training frames without isolated atoms.
        n_elements: number of elements in them.
        n_groups: number of different `config_type`s in them.
        pool: available replay pools, as named by the user.
        labels: kind of labels of these pools.
    """

    scope: Scope | None
    n_frames: int
    n_elements: int
    n_groups: int
    pool: tuple[str, ...] = ()
    labels: PoolLabels = "none"

    @property
    def scarce(self) -> bool:
        """Whether there are too few frames for an unconstrained method."""
        return self.n_frames <= SCARCE_FRAMES

    @property
    def diverse(self) -> bool:
        """Whether the data are more than one system, with too few frames to cover it."""
        many = self.n_elements >= MANY_ELEMENTS or self.n_groups >= MANY_GROUPS
        return many and self.n_frames < self.enough

    @property
    def enough(self) -> int:
        """Number of frames that is enough for diverse data."""
        return ENOUGH_FRAMES * max(self.n_elements, self.n_groups)


@dataclass(frozen=True)
class Choice:
    """A method, the reasons for it, and what would lead to another one.

    Attributes:
        method: name of the method.
        reasons: one line each.
        would_change: circumstances that would lead to another method, one line each.
        rank: rank of low-rank updates; `None` for the default.
    """

    method: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    rank: int | None = None


def choose(case: Circumstances) -> Choice:
    """Choose the method for a case.

    Args:
        case: the facts.

    Raises:
        PestleError: the user did not give the scope, and the data cannot tell it.
    """
    return _broad(case) if require_scope(case.scope) == "broad" else _narrow(case)


def require_scope(scope: Scope | None) -> Scope:
    """Return the scope.

    Raises:
        PestleError: the user did not give it.
    """
    if scope is None:
        raise PestleError(
            "the method depends on what the model is for, and only you know that",
            where="scope",
            fix="--scope narrow: configurations like those of the data. --scope broad: also others "
            "(structure search, new compositions), where the foundation's breadth must survive.",
        )
    return scope


def suited(
    scope: Scope, amount: Amount, labels: Literal["original", "foundation"] | None = None
) -> tuple[Method, Suited]:
    """Find the method for such data.

    Args:
        scope: purpose of the model.
        amount: amount of data.
        labels: source of the labels of replay structures; `None` for methods without replay.

    Returns:
        The method, and its declaration for this case.
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
                f"{counted(case.enough, 'frame')}, {ENOUGH_FRAMES} for each element and group: "
                f"{ample.name}",
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
    """Return the source of the replay labels, the reason, and what would change the source."""
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
    groups = counted(case.n_groups, "configuration group")
    return f"{counted(case.n_elements, 'element')} in {groups}"
