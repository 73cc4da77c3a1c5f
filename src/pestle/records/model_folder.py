"""The model folder: the safe files, the card, and the files that other programs load."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ase.data import chemical_symbols

from pestle import __version__
from pestle.foundations.interface import Foundation
from pestle.foundations.safe_files import CARD
from pestle.progress import say
from pestle.records.card import Card, OfRun, Origin
from pestle.records.folder import now

#: The low-rank update alone, of a model with LoRA.
ADAPTER_NAME = "adapter.safetensors"
#: What the architecture's own programs load, without the ending: the target head alone, or all.
EXPORT_NAME, ALL_HEADS_NAME = "pestle", "pestle-heads"


def write_model_folder(folder: Path, model: Foundation, *, head: str, card: OfRun) -> None:
    """Write a model: safe files first, the card last.

    Args:
        folder: RUN_DIR/model.
        model: holds the weights to keep.
        head: the target head.
        card: what the run knows of the model.
    """
    model.save(folder)
    write_card(folder, model, head=head, card=card)


def write_exports(folder: Path, model: Foundation, *, head: str) -> None:
    """Write what other programs load: `pestle.model` (of a MACE model) with the target head and,
    where there are several, `pestle-heads.model` with all of them, the target last.

    What the architecture's own format cannot hold is not written, and said.
    """
    wanted: dict[str, str | None] = {EXPORT_NAME: head}
    if len(model.heads) > 1:
        wanted[ALL_HEADS_NAME] = None
    for name, which in wanted.items():
        path = folder / f"{name}{model.own_format}"
        obstacle = model.export_obstacle(head=which)
        if obstacle:
            say(f"no {path.name}: {obstacle}")
        else:
            model.export(path, head=which)


def write_card(folder: Path, model: Foundation, *, head: str, card: OfRun) -> None:
    """Write card.json; the licence and level of theory are the foundation's."""
    e0s = model.reference_energies[head]
    provenance = Origin(**asdict(model.provenance))
    Card(
        pestle=__version__,
        written=now(),
        licence=provenance.licence,
        provenance=provenance,
        dispersion=provenance.dispersion,
        dispersion_removed=provenance.dispersion_removed,
        elements=tuple(chemical_symbols[z] for z in model.elements),
        heads=model.heads,
        head=head,
        cutoff_angstrom=model.cutoff,
        dtype=str(model.dtype).removeprefix("torch."),
        reference_energies_ev={chemical_symbols[z]: e for z, e in sorted(e0s.items())},
        **dict(card),
    ).write(folder / CARD, sealed=True)
