"""model/card.json: information about a model that stays with it without its run folder."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pestle.metrics import FrameErrors
from pestle.records.base import Part, Record
from pestle.records.ending import EndingInWords
from pestle.records.metrics import EvaluatedErrors
from pestle.records.parts import (
    Ancestor,
    AtomicEnergies,
    Convergence,
    File,
    FoundationFacts,
    InterpolationFacts,
    LabelLevel,
    Value,
)


class Origin(Part):
    """Origin of a model.

    Attributes:
        name: name of the weights.
        licence: licence of the weights.
        level_of_theory: level of theory of the labels for these weights.
        notes: changes of the weights, one line each.
        dispersion: whether the training energies include dispersion: included, none, unknown.
        dispersion_removed: correction that was subtracted from the labels; empty for none.
    """

    name: str
    licence: str = "unknown"
    level_of_theory: str = "unknown"
    notes: tuple[str, ...] = ()
    dispersion: str = "unknown"
    dispersion_removed: str = ""


class VerdictInWords(Part):
    """The last verdict of `pestle qualify` on a model.

    Attributes:
        verdict: pass, concern, fail or incomplete.
        scope: purpose for which it was judged.
        use_for, not_for: what it may be used for and what not, in words.
    """

    verdict: str
    scope: str
    use_for: str
    not_for: str


class OfRun(Part):
    """Information from the run that made the model.

    Attributes:
        run_id: identifier of the run.
        ancestry: the models that it was made from, starting with the first foundation.
        foundation: the foundation of the model; the last of `ancestry`.
        method: method of adaptation.
        data: split → its files.
        reference_energies: E0s of the target head, with diagnostics.
        level: information about the level of theory of the labels.
        settings: dotted name → value.
        warnings: one line each.
        interpolation: null without `keep.interpolate`.
        validation: errors on the validation frames; only during the run.
        epoch: epoch of the model.
        convergence: whether the model still improved when training ended; only after the run, and
            if this can be judged.
        errors: set → errors of all its frames; only after the run.
        ending: how the run ended; only after the run.
        verdict: verdict on the model; only after `pestle qualify` of the run.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset(
        {"validation", "convergence", "errors", "ending", "verdict"}
    )

    run_id: str = ""
    ancestry: tuple[Ancestor, ...] = ()
    foundation: FoundationFacts
    method: str
    data: dict[str, tuple[File, ...]] = Field(default_factory=dict)
    reference_energies: AtomicEnergies
    level: LabelLevel = LabelLevel()
    settings: dict[str, Value] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    interpolation: InterpolationFacts | None = None
    validation: EvaluatedErrors | None = None
    epoch: int | float
    convergence: Convergence | None = None
    errors: dict[str, FrameErrors] | None = None
    ending: EndingInWords | None = None
    verdict: VerdictInWords | None = None


class _OfModel(Record):
    """Information about any model.

    Attributes:
        pestle: version that wrote the card.
        written: time of writing, UTC.
        licence: inherited from the foundation.
        provenance: origin of the weights.
        dispersion, dispersion_removed: as in `provenance`.
        elements: chemical symbols that the model knows.
        heads: names of its heads.
        head: name of the target head.
        cutoff_angstrom: neighbour cutoff (Å).
        dtype: precision of the weights.
        reference_energies_ev: symbol → E0 of the target head (eV).
    """

    pestle: str
    written: str
    licence: str = "unknown"
    provenance: Origin
    dispersion: str = "unknown"
    dispersion_removed: str = ""
    elements: tuple[str, ...]
    heads: tuple[str, ...]
    head: str
    cutoff_angstrom: float
    dtype: str
    reference_energies_ev: dict[str, float]


#: More elements than this are counted, not listed.
MANY = 20


class Card(OfRun, _OfModel):
    """Information about a model, first about the model itself, then from the run that made it."""

    format: int = 2

    def lines(self) -> list[str]:
        """Return the lines about a model for readers; the first one is its name."""
        said = {
            "licence": self.licence,
            "method": self.method,
            "made from": " → ".join(one.words for one in self.ancestry),
            "run": self.run_id,
            "elements": " ".join(self.elements) if len(self.elements) <= MANY else "",
            "heads": ", ".join(self.heads),
            "E0s": f"{self.reference_energies.method} ({self.reference_energies.reason})",
            "labels": f"of {' '.join(self.level.elements)}; dispersion: {self.dispersion}",
        }
        if len(self.elements) > MANY:
            said["elements"] = f"{len(self.elements)}"
        if self.ending is not None:
            told = (self.ending.warning, self.ending.learned, self.ending.kept, self.ending.breadth)
            names = ("warning", "learned", "kept", "breadth")
            said |= {name: text for name, text in zip(names, told, strict=True) if text}
        return [self.provenance.name, *(f"  {k + ':':<11}{v}" for k, v in said.items() if v)]

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Convert format 1, which has no ancestors and no level of theory of the labels."""
        foundation, e0s = content.get("foundation"), content.get("reference_energies")
        if isinstance(foundation, dict) and "name" in foundation:
            known = {k: foundation[k] for k in ("name", "fingerprint") if k in foundation}
            content["ancestry"] = [known]
        if isinstance(e0s, dict) and isinstance(e0s.get("e0s"), dict):
            shifted = e0s.get("shift")
            elements = list(shifted) if isinstance(shifted, dict) and shifted else list(e0s["e0s"])
            atoms = {s: e0s["e0s"][s] for s in elements if s in e0s["e0s"]}
            content["level"] = {
                "elements": elements,
                "isolated_atoms": atoms if e0s.get("method") == "isolated" else {},
            }
        return content
