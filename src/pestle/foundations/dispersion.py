"""Whether a model and labels hold dispersion, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pestle.checks.report import Finding, finding
from pestle.checks.surfaces import THEORY_KEYS, holds_dispersion
from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.structures.dispersion import D3
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.selection import word_of

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation


def dispersion_of(foundation: Foundation, head: str | None = None) -> str:
    """`included`, `none` or `unknown`: what the labels were that a head was trained on."""
    name = foundation.heads[foundation.head_index(head)]
    entry = catalogue.find(foundation.provenance.name)
    by_head = dict(entry.head_dispersion) if entry is not None else {}
    return by_head.get(name, foundation.provenance.dispersion)


def dispersion_of_labels(frames: Sequence[Frame], stated: str = "unknown") -> str:
    """The same of labelled frames: as stated, else as their files say (`functional=PBE-D3`)."""
    if stated != "unknown":
        return stated
    labelled = [f for f in frames if is_labelled(f) and not f.is_isolated_atom]
    said = [any(holds_dispersion(word_of(f, key)) for key in THEORY_KEYS) for f in labelled]
    return "included" if said and all(said) else "unknown"


def dispersion_findings(
    frames: Sequence[Frame], foundation: Foundation, head: str | None, stated: str = "unknown"
) -> list[Finding]:
    """A warning where labels and foundation differ; nothing where either is unknown."""
    own, labels = dispersion_of(foundation, head), dispersion_of_labels(frames, stated)
    if "unknown" in (own, labels) or own == labels:
        return []
    name = foundation.provenance.name
    if labels == "included":
        message = (
            f"the labels hold dispersion, and {name} was trained without: training has to teach "
            "it, as far as the cutoff reaches, and no D3 correction may be added to the result"
        )
        fix = (
            "Take it from the labels, --set data.subtract_dispersion=FUNCTIONAL (pbe), and add the "
            "same correction when the model is used."
        )
    else:
        message = (
            f"the labels hold no dispersion, and {name} was trained with it: training has to "
            "unlearn it, and the result needs a D3 correction that the foundation must not have"
        )
        fix = "Take labels with dispersion, or a foundation without."
    return [finding("warning", "dispersion", message, [], fix=fix)]


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
