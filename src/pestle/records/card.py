"""model/card.json: what is known of a model, which goes where its run folder does not."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pestle.metrics import FrameErrors
from pestle.records.base import Part, Record
from pestle.records.ending import EndingInWords
from pestle.records.metrics import EvaluatedErrors
from pestle.records.parts import (
    AtomicEnergies,
    Convergence,
    File,
    FoundationFacts,
    InterpolationFacts,
    Value,
)


class Origin(Part):
    """Where a model comes from.

    Attributes:
        name: of the weights.
        licence: of the weights.
        level_of_theory: that their labels were calculated at.
        notes: what was done to them, one line each.
        dispersion: whether the energies it was trained on hold dispersion: included, none, unknown.
        dispersion_removed: the correction that was taken from them before; empty for none.
    """

    name: str
    licence: str = "unknown"
    level_of_theory: str = "unknown"
    notes: tuple[str, ...] = ()
    dispersion: str = "unknown"
    dispersion_removed: str = ""


class VerdictInWords(Part):
    """What `pestle qualify` found of a model last.

    Attributes:
        verdict: pass, concern, fail or incomplete.
        scope: what it was judged for.
        use_for, not_for: what it may be used for and what not, in words.
    """

    verdict: str
    scope: str
    use_for: str
    not_for: str


class OfRun(Part):
    """What a card takes from the run that made the model.

    Attributes:
        foundation: where the model comes from.
        method: how it was adapted.
        data: split → its files.
        reference_energies: of the target head, with their diagnostics.
        settings: dotted name → value.
        warnings: one line each.
        interpolation: null without `keep.interpolate`.
        validation: only while the run goes on: errors on the validation frames.
        epoch: of the model.
        convergence: only after the run: whether there was more to learn; left out where nothing
            can tell.
        errors: only after the run: set → errors in all.
        ending: only after the run: how it ended.
        verdict: only after `pestle qualify` of the run.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset(
        {"validation", "convergence", "errors", "ending", "verdict"}
    )

    foundation: FoundationFacts
    method: str
    data: dict[str, tuple[File, ...]] = Field(default_factory=dict)
    reference_energies: AtomicEnergies
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
    """What a card knows of any model.

    Attributes:
        pestle: version that wrote the card.
        written: when, in UTC.
        licence: inherited from the foundation.
        provenance: where the weights come from.
        dispersion, dispersion_removed: of the labels, as in `provenance`.
        elements: chemical symbols that the model knows.
        heads: names of its heads.
        head: the target head.
        cutoff_angstrom: of its neighbours (Å).
        dtype: precision of its weights.
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


class Card(OfRun, _OfModel):
    """What is known of a model: first of the model itself, then of the run that made it."""

    format: int = 1
