"""Whether the labels include dispersion, and whether the foundation does too."""

from __future__ import annotations

from collections.abc import Sequence

from pestle.checks.report import CheckFinding, finding
from pestle.checks.surfaces import THEORY_KEYS, holds_dispersion
from pestle.foundations.dispersion import dispersion_of
from pestle.foundations.interface import Foundation
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.selection import word_of


def dispersion_of_labels(frames: Sequence[Frame], stated: str = "unknown") -> str:
    """Return `included`, `none` or `unknown`: as stated, else from the files
    (`functional=PBE-D3`).
    """
    if stated != "unknown":
        return stated
    labelled = [f for f in frames if is_labelled(f) and not f.is_isolated_atom]
    said = [any(holds_dispersion(word_of(f, key)) for key in THEORY_KEYS) for f in labelled]
    return "included" if said and all(said) else "unknown"


def dispersion_findings(
    frames: Sequence[Frame], foundation: Foundation, head: str | None, stated: str = "unknown"
) -> list[CheckFinding]:
    """Return a warning if labels and foundation differ; nothing if either is unknown."""
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
