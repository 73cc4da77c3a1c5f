"""Say whether a model contains dispersion, and find the correction that may be added to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.structures.dispersion import D3

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation


def dispersion_of(foundation: Foundation, head: str | None = None) -> str:
    """Say whether the labels that a head was trained on contain dispersion.

    Args:
        foundation: the model.
        head: name of the head, as for `Foundation.head_index`.

    Returns:
        `included`, `none` or `unknown`.

    Raises:
        PestleError: there is no such head, or no name was given and several heads are possible.
    """
    name = foundation.heads[foundation.head_index(head)]
    entry = catalogue.find(foundation.provenance.name)
    by_head = dict(entry.head_dispersion) if entry is not None else {}
    return by_head.get(name, foundation.provenance.dispersion)


def correction_for(foundation: Foundation, functional: str) -> D3:
    """Return the dispersion correction to add to a model.

    Args:
        foundation: the model.
        functional: name of the functional as `D3.of` reads it; or `removed`, which means the
            correction that was subtracted from the model's training labels.

    Raises:
        PestleError: the model already contains dispersion, no correction was subtracted, or the
            functional is unknown.
    """
    provenance = foundation.provenance
    if functional == "removed" and not provenance.dispersion_removed:
        raise PestleError(
            f"no correction was taken from the labels of {provenance.name}",
            where="dispersion",
            fix="Name the functional, e.g. pbe.",
        )
    if provenance.dispersion == "included":
        raise PestleError(
            f"{provenance.name} was trained on energies with dispersion: D3 on top would count it "
            "twice",
            where="dispersion",
            fix="Leave it out.",
        )
    text = provenance.dispersion_removed if functional == "removed" else functional
    return D3.of(text, where="dispersion")
