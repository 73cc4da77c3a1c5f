"""Methods of adaptation. A new one is a file in `methods/`; docs/methods.md says how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.adaptation.base import Adaptation, Case, Method
from pestle.adaptation.methods import METHODS
from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.adaptation.recipes import Recipe
    from pestle.settings.run import RunSettings

#: The setting `method` that leaves the choice to `choice.choose`.
AUTO = "auto"
#: Every value of the setting `method`, and what it does.
IN_WORDS = {
    AUTO: "chosen from scope and data, with the reasons; needs the scope",
    **{name: method.words for name, method in METHODS.items()},
}


def method_of(settings: RunSettings) -> Method:
    """The method of a run.

    Raises:
        PestleError: there is none of that name; suggests the nearest.
    """
    name = settings.method
    if name not in METHODS:
        raise PestleError(
            f"no such method '{name}'",
            where="method",
            fix=f"{nearest(name, IN_WORDS)} The methods are {', '.join(IN_WORDS)}.".lstrip(),
        )
    return METHODS[name]


def recipe_of(settings: RunSettings) -> Recipe:
    """The hyperparameters of a run's method, from the source that the settings name.

    Raises:
        PestleError: there is no such method, or the paper does not have it.
    """
    return method_of(settings).recipe(settings.recipe)


def require_method(settings: RunSettings) -> None:
    """The method must exist and have the recipe that is asked for, or be `auto`.

    Raises:
        PestleError: it does not.
    """
    if settings.method != AUTO:
        recipe_of(settings)


__all__ = [
    "AUTO",
    "IN_WORDS",
    "METHODS",
    "Adaptation",
    "Case",
    "Method",
    "method_of",
    "recipe_of",
    "require_method",
]
