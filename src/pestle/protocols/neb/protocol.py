"""Protocol `neb`: barriers and energies of reactions (paper 2.1, Fig. 3b, 4 and 6c).

A barrier is calculated in two ways: from the energies of the model on the given images, and from a
nudged elastic band between reactant and product that is relaxed with the model. A user of the model
would find the band. The band is therefore judged if it converged. On the given images, the labels
show the error of each image.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ase.io
import numpy as np

from pestle.files import replacing
from pestle.progress import Task, progress
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.neb import DECLARATION
from pestle.protocols.neb.analysis import ENDS, analyse, end_numbers, relaxed_end
from pestle.protocols.neb.band import WINDOW, automatic_band, first_guess, relax_band
from pestle.protocols.neb.ends import relax
from pestle.protocols.neb.image_calculator import BandError, predict
from pestle.protocols.neb.numbers import NebNumbers
from pestle.protocols.neb.reactions import Reaction, has_reference, keyed, reactions
from pestle.protocols.neb.shown import assess, charts, tables
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.settings.probe import NebSettings


def calculate(potential: Potential, inputs: Inputs, settings: NebSettings, raw: RawFolder) -> None:
    """Calculate energies of the given images, relaxed ends and the band of every reaction.

    The band is also written as `band-REACTION.xyz`.

    Args:
        potential: the potential.
        inputs: gives the reactions.
        settings: settings of the protocol.
        raw: folder for the results.
    """
    given = reactions(inputs)
    # The bar counts the largest possible number of steps, for two ends and a band.
    each = 3 * settings.max_steps
    with progress(f"reactions on {potential.name}", each * len(given)) as bar:
        for k, reaction in enumerate(given):
            _along(potential, reaction, raw)
            if settings.method != "path":
                bar.to(k * each, reaction.name)
                for which in ENDS:
                    _end(potential, reaction, which, settings, raw)
                show = partial(_show, bar, reaction, k * each + 2 * settings.max_steps)
                _band(potential, reaction, settings, raw, show)
            bar.to((k + 1) * each, reaction.name)
    raw.finish()


def _show(bar: Task, reaction: Reaction, before: int, state: Mapping[str, Any]) -> None:
    bar.to(before + int(state["steps"]), f"{reaction.name}, {float(state['fmax']):.2f} eV/Å")


def _along(potential: Potential, reaction: Reaction, raw: RawFolder) -> None:
    name = f"path-{reaction.slug}"
    if not raw.has(name):
        energy, forces = predict(potential, reaction.structures())
        raw.write(name, energy=energy, forces=forces)


def _end(
    potential: Potential, reaction: Reaction, which: str, settings: NebSettings, raw: RawFolder
) -> None:
    name = f"{which}-{reaction.slug}"
    if raw.has(name):
        return
    try:
        content = relax(potential, reaction.end(which), settings.fmax, settings.max_steps)
    except BandError as error:
        content = {"failed": np.array(f"the {which} cannot be relaxed: {error}")}
    raw.write(name, **content)


def _band(
    potential: Potential, reaction: Reaction, settings: NebSettings, raw: RawFolder, show: Any
) -> None:
    """Relax the band, if both ends exist."""
    name = f"band-{reaction.slug}"
    state = raw.read(name) if raw.has(name) else None
    if end_numbers(reaction, raw).blocked or (state is not None and "failed" in state):
        return

    def keep(state: Mapping[str, Any]) -> None:
        raw.write(name, **state)
        show(state)

    automatic = settings.method == "autoneb"
    count = min(WINDOW + 2, settings.images) if automatic else settings.images
    start, end = (relaxed_end(reaction, which, raw) for which in ENDS)
    try:
        given = reaction.structures()
        energy = raw.read(f"path-{reaction.slug}")["energy"]
        guess = first_guess(given, energy, start, end, count)
        if not automatic:
            relax_band(potential, guess, settings, state, keep, guided=len(given) > 2)
        elif state is None:
            keep(automatic_band(potential, guess, settings))
    except BandError as error:
        raw.write(name, failed=np.array(f"the band failed: {error}"))
        return
    _write_band(potential, reaction, raw)


def _write_band(potential: Potential, reaction: Reaction, raw: RawFolder) -> None:
    """Write the band as extended XYZ; the key of its energies is not one that is read as a
    label.
    """
    state = raw.read(f"band-{reaction.slug}")
    images = reaction.at(state["positions"])
    for k, (atoms, energy) in enumerate(zip(images, state["energy"], strict=True)):
        atoms.info |= {"image": k, "model": potential.name, "model_energy": float(energy)}
    with replacing(raw.path / f"band-{reaction.slug}.xyz") as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _extent(_inputs: Inputs, settings: NebSettings) -> str:
    if settings.method == "path":
        return "the given images"
    return f"{settings.images} images, at most {settings.max_steps} steps"


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=NebSettings,
    numbers=NebNumbers,
    structures=keyed,
    version=2,  # a band begins at the top of the given images
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=_extent,
    quick={"images": 7, "fmax": 0.1, "max_steps": 100},
    has_reference=lambda sets, _settings: has_reference(sets),
)
