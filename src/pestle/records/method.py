"""The method of a run in its manifest: what is trained, the replay set and the drift structures."""

from __future__ import annotations

from pydantic import Field

from pestle.records.base import Part
from pestle.records.parts import File


class Block(Part):
    """Number of parameters in a part of the architecture.

    Attributes:
        trainable: number of trained parameters.
        total: number of all parameters.
    """

    trainable: int
    total: int


class MethodChoice(Part):
    """Reasons why `auto` chose the method.

    Attributes:
        method: name of the method.
        reasons: one clause each.
        would_change: what would lead to another method.
        rank: rank of low-rank updates, if the data need a particular one.
    """

    method: str
    reasons: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    rank: int | None = None


class MethodFacts(Part):
    """How the foundation was adapted.

    Attributes:
        name: name of the method.
        notes: changes of the model, one line each.
        blocks: part of the architecture → number of its parameters.
        n_trainable: number of trained parameters.
        n_parameters: number of all parameters, including those of adapters.
        heads: heads of the adapted model.
        choice: reasons why `auto` chose the method; null if the user named one.
    """

    name: str
    notes: tuple[str, ...] = ()
    blocks: dict[str, Block] = Field(default_factory=dict)
    n_trainable: int = 0
    n_parameters: int = 0
    heads: tuple[str, ...] = ()
    choice: MethodChoice | None = None


class ReplayFacts(Part):
    """The replay set of a run.

    Attributes:
        labels: source of the labels, in words.
        n_train: number of structures for training.
        n_valid: number of held-out structures.
        notes: how they were selected, one line each.
        files: files of the pools.
    """

    labels: str
    n_train: int
    n_valid: int
    notes: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


class DriftFacts(Part):
    """The structures on which drift is measured.

    Attributes:
        n_frames: number of structures.
    """

    n_frames: int
