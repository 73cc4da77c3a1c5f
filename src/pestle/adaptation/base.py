"""What every method of adaptation declares, gets and gives.

Nothing heavy is imported here or at the head of a method's file: the command line reads the
declarations for its `--help`, the report for its wording, and neither needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pestle.adaptation.recipes import Recipe
from pestle.errors import PestleError

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation
    from pestle.settings.run import RunSettings
    from pestle.structures.frame import Frame

#: What a model is for; the setting `scope`.
Scope = Literal["narrow", "broad"]
#: How many frames there are for what they span (numbers in `choice.py`). `scarce`: so few that an
#: unconstrained method fails; `diverse`: of several systems, too few for each; `ample`: neither.
Amount = Literal["ample", "scarce", "diverse"]


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
        notes: what the user should know of what was done.
    """

    model: Foundation
    trainable: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suited:
    """What `method: auto` chooses a method for.

    Attributes:
        scope: what the model is for.
        amount: of the data.
        why: the end of the sentence that gives the reason.
        rank: of low-rank updates, where these data speak for one.
    """

    scope: Scope
    amount: Amount
    why: str
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of adaptation: all that the rest of the program knows of it.

    Attributes:
        name: what the user types.
        words: what is trained and what it is for, in one line, as `pestle finetune --help` and the
            run file of `pestle init` show it.
        title: what was done, as in "`title` of medium-mpa-0"; empty for "`name` fine-tuning".
        adapt: makes the model to train.
        measured: hyperparameters by default.
        paper: those of the paper's Table 7; `None` where the paper does not have the method.
        replay_labels: where the labels of its replay structures come from: `original` (the pool's
            own) or `foundation` (pseudolabels); `None` for methods without replay.
        low_rank: whether it trains low-rank updates in the place of weights; these are saved as an
            adapter, too.
        from_scratch: whether it begins with random weights: nothing of the foundation is left, its
            licence included.
        keeps_foundation: whether the model predicts what the foundation predicts until the first
            update; the zero-step gate holds it to that.
        suited: what `method: auto` chooses it for. With scope `broad` it is chosen by its
            `replay_labels`, too.
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
    suited: tuple[Suited, ...] = ()

    @property
    def replays(self) -> bool:
        """Whether it trains on broad structures in a second head."""
        return self.replay_labels is not None

    @property
    def pseudolabels(self) -> bool:
        """Whether the foundation labels those structures."""
        return self.replay_labels == "foundation"

    @property
    def in_words(self) -> str:
        """What was done, without the name of the foundation."""
        return self.title or f"{self.name} fine-tuning"

    def recipe(self, source: Literal["measured", "paper"]) -> Recipe:
        """The hyperparameters that the setting `recipe` names.

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
