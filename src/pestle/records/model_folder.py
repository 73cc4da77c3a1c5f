"""The model folder: the safe files, the card, and the files for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ase.data import chemical_symbols

from pestle import __version__
from pestle.foundations.capabilities import OwnFile
from pestle.foundations.interface import Foundation
from pestle.foundations.safe_files import CARD
from pestle.progress import say
from pestle.records.card import Card, OfRun, Origin
from pestle.records.folder import now

#: File with only the low-rank update of a LoRA model.
ADAPTER_NAME = "adapter.safetensors"
#: Names of the files for other programs, without ending: only the target head, or all heads.
EXPORT_NAME, ALL_HEADS_NAME = "pestle", "pestle-heads"


def write_model_folder(folder: Path, model: Foundation, *, head: str, card: OfRun) -> None:
    """Write a model: the safe files first, the card last.

    Args:
        folder: the folder, RUN_DIR/model.
        model: the model.
        head: name of the target head.
        card: information from the run.
    """
    model.save(folder)
    write_card(folder, model, head=head, card=card)


def write_exports(folder: Path, model: Foundation, *, head: str) -> None:
    """Write the files for other programs.

    These are `pestle.model` (of a MACE model) with the target head and, if there are several heads,
    `pestle-heads.model` with all of them, the target last. A message names files that cannot be
    written in the architecture's own format.

    Args:
        folder: the model folder.
        model: the model.
        head: name of the target head.
    """
    if not isinstance(model, OwnFile):
        say("no file for other programs: the architecture has none of its own")
        return
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
    """Write card.json; licence and level of theory are those of the foundation.

    Args:
        folder: the model folder.
        model: the model.
        head: name of the target head.
        card: information from the run.
    """
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
