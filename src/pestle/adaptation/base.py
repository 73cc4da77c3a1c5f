"""The interface of a method of adaptation: its declaration, input and result.

Neither this file nor the top level of a method's file imports anything heavy: the command line
reads the declarations for `--help` and the report for its wording, and neither needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pestle.adaptation.recipes import Recipe
from pestle.errors import PestleError
from pestle.settings.scope import Scope

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation
    from pestle.settings.run import RunSettings
    from pestle.structures.frame import Frame

#: Amount of data for the range that they cover (numbers in `choice.py`). `scarce`: so few frames
#: that an unconstrained method fails; `diverse`: several systems, with too few frames for each;
#: `ample`: neither.
Amount = Literal["ample", "scarce", "diverse"]


@dataclass(frozen=True)
class Case:
    """The input of a method.

    Attributes:
        start: the prepared foundation, with one head for the target data, the elements to keep, the
            network's precision and the E0s of the data's level of theory.
        head: name of that head.
        train: training frames without isolated atoms.
        settings: settings of the run.
        foundation_e0s: atomic number → E0 (eV) of the unchanged foundation, for a replay head.
    """

    start: Foundation
    head: str
    train: Sequence[Frame]
    settings: RunSettings
    foundation_e0s: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Adaptation:
    """The result of a method, for training.

    Attributes:
        model: the model to train.
        trainable: names of the parameters to train.
        notes: notes for the user about what was done.
    """

    model: Foundation
    trainable: tuple[str, ...]
    notes: tuple[str, ...] = ()


#: Names instead of classes, because declarations are also read for `--help`, without torch.
Capability = Literal["Adapters", "Heads", "Parts", "RandomWeights"]


@dataclass(frozen=True)
class Suited:
    """A case for which `method: auto` chooses a method.

    Attributes:
        scope: purpose of the model.
        amount: amount of data.
        why: reason, as the end of a sentence.
        rank: rank of low-rank updates, if these data need a particular one.
    """

    scope: Scope
    amount: Amount
    why: str
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of adaptation: everything that the rest of the program knows about it.

    Attributes:
        name: the name that the user types.
        words: what is trained and what the method is for, in one line, for `pestle finetune --help`
            and the run file of `pestle init`.
        title: what was done, as in "`title` of medium-mpa-0"; empty for "`name` fine-tuning".
        adapt: makes the model to train.
        measured: default hyperparameters.
        paper: hyperparameters of the paper's Table 7; `None` if the paper does not contain the
            method.
        replay_labels: source of the labels of replay structures: `original` (those of the pool) or
            `foundation` (pseudolabels); `None` for methods without replay.
        low_rank: whether low-rank updates are trained instead of weights; the model is then also
            saved as an adapter.
        from_scratch: whether training starts with random weights. Then nothing of the foundation
            remains, not even its licence.
        keeps_foundation: whether the model predicts the same as the foundation before the first
            update; the zero-step gate checks this.
        needs: capabilities that the foundation must have, as class names in
            `foundations.capabilities`; checked before anything is predicted.
        suited: cases for which `method: auto` chooses the method. For the scope `broad` its
            `replay_labels` are also considered.
    """

    name: str
    words: str
    adapt: Callable[[Case], Adaptation]
    measured: Recipe
    paper: Recipe | None = None
    title: str = ""
    replay_labels: Literal["original", "foundation"] | None = None
    low_rank: bool = False
    from_scratch: bool = False
    keeps_foundation: bool = True
    needs: tuple[Capability, ...] = ()
    suited: tuple[Suited, ...] = ()

    @property
    def replays(self) -> bool:
        """Whether the method trains on broad structures with a second head."""
        return self.replay_labels is not None

    @property
    def pseudolabels(self) -> bool:
        """Whether the foundation labels these structures."""
        return self.replay_labels == "foundation"

    @property
    def in_words(self) -> str:
        """What was done, without the name of the foundation."""
        return self.title or f"{self.name} fine-tuning"

    def recipe(self, source: Literal["measured", "paper"]) -> Recipe:
        """Return the hyperparameters from one source.

        Args:
            source: value of the setting `recipe`.

        Raises:
            PestleError: the paper has none for this method.
        """
        if source == "measured":
            return self.measured
        if self.paper is None:
            raise PestleError(
                f"the paper's Table 7 has no row for the method {self.name}",
                where="recipe",
                fix="Leave it at measured.",
            )
        return self.paper
