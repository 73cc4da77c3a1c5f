"""What every method of adaptation gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pestle.foundations.interface import Foundation
from pestle.settings import RunSettings
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
    """

    start: Foundation
    head: str
    train: Sequence[Frame]
    settings: RunSettings


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


Method = Callable[[Case], Adaptation]
