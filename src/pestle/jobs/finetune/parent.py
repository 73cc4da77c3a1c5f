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
from pestle.settings.run_file import read_run_file
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import is_reference_atom


@dataclass(frozen=True)
class Parent:
    """A model that an earlier run made.

    Attributes:
        name: name of the run folder, or of the model folder if it is outside a run folder.
        card: card of the model.
        folder: the run folder; `None` if the model is outside it.
        manifest: manifest of the run; `None` if the model is outside the run folder.
    """

    name: str
    card: Card
    folder: RunFolder | None = None
    manifest: Manifest | None = None

    def learned(self, dispersion: str) -> Learned:
        """Return what is known about the level of theory of its labels.

        Args:
            dispersion: whether the new labels include dispersion: included, none or unknown.
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
    """Read the run or model folder of a foundation that was fine-tuned before.

    If its card or manifest is damaged, the user is warned and the model is used without them.

    Args:
        name: the foundation as the user named it.

    Returns:
        The model with its run; `None` if no run of Pestle made it.
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
        warn(f"{error.line} Nothing is known about the labels of this model.")
        return None


def first_foundation(name: str) -> str:
    """Return the foundation from which the runs behind a model began.

    Args:
        name: a foundation, or the run folder of a model, as the user types it.

    Returns:
        The foundation as its run file names it; `name` if no run made it. A run whose foundation
        is no longer there is returned itself.
    """
    parent = read_parent(name)
    if parent is None or parent.folder is None or not parent.folder.settings.is_file():
        return name
    before = read_run_file(parent.folder.settings).get("foundation")
    if not isinstance(before, str):
        return name
    if catalogue.find(before) is None and not Path(before).expanduser().exists():
        return name
    return first_foundation(before)


def ancestry_of(
    parent: Parent | None, foundation: Foundation, fingerprint: str
) -> tuple[Ancestor, ...]:
    """Return the ancestors of a model, from the first foundation to the last.

    Args:
        parent: the model from which it is made; `None` if no run made that.
        foundation: the same model as loaded.
        fingerprint: hash of the foundation.
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
    """Describe the level of theory of the labels of a run: its elements and isolated atoms.

    Args:
        frames: training frames and isolated atoms.
        e0s: E0s of the run.
        parent: the model from which the run starts; `None` if no run made it.
        kept: whether the parent's labels have the same level of theory.
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
