"""The fine-tuned model that a run starts from: its card, the run that made it, its ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from pestle.energies.kept import Learned
from pestle.energies.reference_energies import ReferenceEnergies
from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.foundations.interface import Foundation
from pestle.foundations.safe_files import CARD
from pestle.progress import warn
from pestle.records.card import Card
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.records.parts import Ancestor, LabelLevel
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import is_reference_atom


@dataclass(frozen=True)
class Parent:
    """A model that an earlier run made.

    Attributes:
        name: of the run's folder; of the model folder where it has left its run.
        card: of the model.
        folder: of the run; `None` where the model has left it.
        manifest: of the run; `None` likewise.
    """

    name: str
    card: Card
    folder: RunFolder | None = None
    manifest: Manifest | None = None

    def learned(self, dispersion: str) -> Learned:
        """What its E0s say of the level of theory of its labels.

        Args:
            dispersion: whether the new labels hold dispersion: included, none, unknown.
        """
        level, old, words = self.card.level, self.card.dispersion, {"included", "none"}
        other = ""
        if {old, dispersion} == words:
            said = {"included": "hold dispersion", "none": "hold none"}
            other = f"the new labels {said[dispersion]} and those of {self.name} {said[old]}"
        return Learned(
            self.name,
            frozenset(atomic_numbers[symbol] for symbol in level.elements),
            {atomic_numbers[symbol]: e for symbol, e in level.isolated_atoms.items()},
            other,
        )


def read_parent(name: str) -> Parent | None:
    """The run or model folder that a foundation is; `None` where no run of Pestle made it.

    A card or manifest that is damaged is said, and nothing is known of the model's labels then.

    Args:
        name: the foundation as it was asked for.
    """
    path = Path(name).expanduser()
    if catalogue.find(name) is not None or not path.is_dir():
        return None
    place = next((p for p in (path, path / "model") if (p / CARD).is_file()), None)
    if place is None:
        return None
    try:
        card = Card.read(place / CARD)
        folder = RunFolder(place.resolve().parent)
        if place.resolve() != folder.model or not folder.manifest.is_file():
            return Parent(place.resolve().name, card)
        return Parent(folder.path.name, card, folder, Manifest.of_run(folder.manifest))
    except PestleError as error:
        warn(f"{error.line} Nothing is known of the labels of this model.")
        return None


def ancestry_of(
    parent: Parent | None, foundation: Foundation, fingerprint: str
) -> tuple[Ancestor, ...]:
    """The ancestors of a model, the first foundation first.

    Args:
        parent: the model that it is made from, where a run made that.
        foundation: the same as it was loaded.
        fingerprint: its hash.
    """
    last = Ancestor(
        name=foundation.provenance.name,
        fingerprint=fingerprint,
        run_id=parent.card.run_id if parent is not None else "",
    )
    return (*(parent.card.ancestry if parent is not None else ()), last)


def level_of(
    frames: Sequence[Frame], e0s: ReferenceEnergies, parent: Parent | None, *, kept: bool
) -> LabelLevel:
    """What the E0s of a run say of the level of theory of its labels.

    Args:
        frames: that it trains on, isolated atoms included.
        e0s: in use.
        parent: the model that it starts from, where a run made that.
        kept: whether the parent's labels are of the same level.
    """
    own = {chemical_symbols[z] for z in elements_of(frames) if z in e0s.e0s}
    atoms = {
        chemical_symbols[int(f.numbers[0])]: float(f.energy)
        for f in frames
        if is_reference_atom(f) and f.energy is not None
    }
    if parent is not None and kept:
        own |= set(parent.card.level.elements)
        atoms = parent.card.level.isolated_atoms | atoms
    return LabelLevel(
        elements=tuple(sorted(own, key=lambda s: atomic_numbers[s])),
        isolated_atoms=atoms,
    )
