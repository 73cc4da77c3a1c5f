"""Whether a model holds dispersion, and the correction that may be added to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.structures.dispersion import D3

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation


def dispersion_of(foundation: Foundation, head: str | None = None) -> str:
    """`included`, `none` or `unknown`: what the labels were that a head was trained on."""
    name = foundation.heads[foundation.head_index(head)]
    entry = catalogue.find(foundation.provenance.name)
    by_head = dict(entry.head_dispersion) if entry is not None else {}
    return by_head.get(name, foundation.provenance.dispersion)


def correction_for(foundation: Foundation, functional: str) -> D3:
    """The correction to add to a model.

    Args:
        foundation: the model.
        functional: as `D3.of` reads it, or `removed`: what was taken from its training labels.

    Raises:
        PestleError: the model holds dispersion already, nothing was removed, or the functional is
            unknown.
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
