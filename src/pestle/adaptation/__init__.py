"""Methods of adaptation. A new method is a file in `methods/` (docs/methods.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.adaptation.base import Adaptation, Case, Method
from pestle.adaptation.methods import METHODS
from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.adaptation.recipes import Recipe
    from pestle.settings.run import RunSettings

#: Value of the setting `method` for an automatic choice (`choice.choose`).
AUTO = "auto"
#: All values of the setting `method`, with their meaning.
IN_WORDS = {
    AUTO: "chosen from scope and data, with the reasons; needs the scope",
    **{name: method.words for name, method in METHODS.items()},
}


def method_of(settings: RunSettings) -> Method:
    """Return the method of a run.

    Raises:
        PestleError: there is no method of this name; suggests the nearest one.
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
    """Return the hyperparameters of a run's method (setting `recipe`).

    Raises:
        PestleError: there is no such method, or the paper does not contain it.
    """
    return method_of(settings).recipe(settings.recipe)


def require_method(settings: RunSettings) -> None:
    """Check that the method exists and has the requested recipe, or is `auto`.

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
