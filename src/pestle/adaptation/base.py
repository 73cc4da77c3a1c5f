"""What every method of adaptation gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pestle.foundations.interface import Foundation
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame


@dataclass(frozen=True)
class Case:
    """What a method may look at.

    Attributes:
        start: the foundation made ready: one head for the target data, the elements to keep, the
            network's precision and the E0s of the data's level of theory.
        head: name of that head.
        train: training frames without isolated atoms.
        settings: of the run.
        foundation_e0s: atomic number → E0 (eV) of the foundation itself, which a replay head keeps.
    """

    start: Foundation
    head: str
    train: Sequence[Frame]
    settings: RunSettings
    foundation_e0s: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Adaptation:
    """What a method hands to the training.

    Attributes:
        model: the model to train.
        trainable: names of the parameters that training moves.
        keeps_foundation: whether the model must still predict what the foundation predicts; the
            zero-step gate holds it to that.
        notes: what the user should know of what was done.
    """

    model: Foundation
    trainable: tuple[str, ...]
    keeps_foundation: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A method of adaptation.

    Attributes:
        adapt: makes the model to train.
        replay_labels: where the labels of its replay structures come from: `original` (the pool's
            own) or `foundation` (pseudolabels); `None` for methods without replay.
        low_rank: whether it trains low-rank updates in the place of weights.
        from_scratch: whether it begins with random weights.
        needs: what a foundation must be able to do for it; asked for before anything is predicted.
    """

    adapt: Callable[[Case], Adaptation]
    replay_labels: Literal["original", "foundation"] | None = None
    low_rank: bool = False
    from_scratch: bool = False
    needs: tuple[type[Foundation], ...] = ()
