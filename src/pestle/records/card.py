"""model/card.json: information about a model that stays with it without its run folder."""

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


class OfRun(Part):
    """Information from the run that made the model.

    Attributes:
        foundation: the foundation of the model.
        method: method of adaptation.
        data: split → its files.
        reference_energies: E0s of the target head, with diagnostics.
        settings: dotted name → value.
        warnings: one line each.
        interpolation: null without `keep.interpolate`.
        validation: errors on the validation frames; only during the run.
        epoch: epoch of the model.
        convergence: whether the model still improved when training ended; only after the run, and
            if this can be judged.
        errors: set → errors of all its frames; only after the run.
        ending: how the run ended; only after the run.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset(
        {"validation", "convergence", "errors", "ending"}
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


class Card(OfRun, _OfModel):
    """Information about a model, first about the model itself, then from the run that made it."""

    format: int = 1
