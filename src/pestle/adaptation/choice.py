"""`method: auto`: which method, and why (the paper's sections 4 and 5).

On very few frames the paper tells of replay only: with LoRA it succeeds where it fails alone (A.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
#: Rank for diverse data: more than 4, which suits one system (paper 4).
DIVERSE_RANK = 16

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

    scope: Literal["narrow", "broad"] | None
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
    return _replay(case) if case.scope == "broad" else _naive_or_lora(case)


def _naive_or_lora(case: Circumstances) -> Choice:
    broad = "scope broad: replay, because only replay keeps the foundation's breadth and its wall"
    few = f"{case.n_frames} training frames of {_kinds(case)}"
    if case.diverse:
        return Choice(
            "lora",
            (
                f"{few} are few for each: a low rank limits how far they can pull the foundation "
                "(paper 2.4, 4)",
                f"rank {DIVERSE_RANK}: diverse data need more than one system does (paper 4)",
                "scope narrow: breadth need not survive, so no replay",
            ),
            (f"{case.enough} frames, {ENOUGH_FRAMES} for each element and group: naive", broad),
            rank=DIVERSE_RANK,
        )
    if case.scarce:
        return Choice(
            "lora",
            (
                f"{few} are few: a low rank limits how far they can pull the foundation (paper "
                "2.4, 4)",
                "scope narrow: breadth need not survive, so no replay",
            ),
            (f"more than {SCARCE_FRAMES} training frames: naive", broad),
        )
    return Choice(
        "naive",
        (
            f"scope narrow, {few}: naive fine-tuning is accurate, quick and hard to beat (paper 5, "
            "point 4; Table 4, Fig. 8)",
        ),
        (
            broad,
            "instabilities in molecular dynamics: replay is the fallback (paper 5, point 4)",
            f"at most {SCARCE_FRAMES} training frames, or {MANY_ELEMENTS} elements or "
            f"{MANY_GROUPS} configuration groups with fewer than {ENOUGH_FRAMES} frames for each: "
            "lora",
        ),
    )


def _replay(case: Circumstances) -> Choice:
    why = (
        "scope broad: replay is the only approach that keeps the foundation's breadth and its "
        "repulsive wall (paper 5, point 5)"
    )
    narrow = (
        "scope narrow: naive or lora, at half the cost with these defaults, a third to a fifteenth "
        "in the paper (4)"
    )
    source, labels, change = _labels(case)
    if case.scarce:
        return Choice(
            f"{source}-lora",
            (
                why,
                f"{case.n_frames} training frames are extreme scarcity, where replay alone fails "
                "and replay with LoRA succeeds (A.2)",
                labels,
            ),
            (f"more than {SCARCE_FRAMES} training frames: {source}", change, narrow),
        )
    scarcity = f"at most {SCARCE_FRAMES} training frames: {source}-lora"
    return Choice(source, (why, labels), (change, scarcity, narrow))


def _labels(case: Circumstances) -> tuple[str, str, str]:
    """The method by label source, the reason, and what would lead to the other source."""
    pool = ", ".join(case.pool)
    same = "with equal results (paper 4, Fig. 11)"
    if case.labels == "fit":
        return (
            "multihead",
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
    change = f"the foundation's own labelled pretraining data as replay.pool: multihead, {same}"
    return "pseudolabel", why, change


def _kinds(case: Circumstances) -> str:
    groups = f"{case.n_groups} configuration group{'s' if case.n_groups != 1 else ''}"
    return f"{case.n_elements} element{'s' if case.n_elements != 1 else ''} in {groups}"
