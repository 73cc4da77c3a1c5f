"""Runs without validation frames (`data.valid_fraction=0`): their limits and requirements."""

from __future__ import annotations

from pestle.adaptation import recipe_of
from pestle.errors import PestleError
from pestle.foundations.interface import TARGET_HEAD
from pestle.settings.run import RunSettings

#: The first warning of a run without validation frames.
GIVES_UP = (
    "no frame is held out for validation, as asked: the last model is kept, whether or not an "
    "earlier one was better; nothing ends the run early; and the errors shown are on frames that "
    "it is trained on, which says little of others. Give test frames (--test) to judge it by"
)


def require_last(settings: RunSettings) -> None:
    """Check that the settings of a run without validation frames need no validation frames.

    Args:
        settings: settings of the run.

    Raises:
        PestleError: a setting needs them, or the length of the run is not given.
    """
    train = settings.train
    if not settings.data.no_validation:
        return
    if train.updates is None and train.epochs is None:
        if recipe_of(settings).epochs is not None:
            return
        raise PestleError(
            "without validation frames nothing says when to stop",
            where="data.valid_fraction",
            fix="Say how long the run is, e.g. --set train.updates=2000, or hold some frames out.",
        )
    needs = {
        "train.schedule": train.schedule == "plateau",
        "train.best_head": train.best_head != TARGET_HEAD,
        "keep.interpolate": settings.keep.interpolate == "auto",
    }
    for name, asked in needs.items():
        if asked:
            raise PestleError(
                "is decided on validation frames, and data.valid_fraction=0 leaves none",
                where=name,
                fix="Leave it out, or hold some frames out.",
            )
