"""Protocol `neb`: barriers and energies of reactions (paper 2.1, Fig. 3b, 4 and 6c).

A barrier is calculated in two ways: from the energies of the model on the given images, and from a
nudged elastic band between reactant and product that is relaxed with the model. A user of the model
would find the band. The band is therefore judged if it converged. On the given images, the labels
show the error of each image.
"""

from __future__ import annotations

import ase.io

from pestle.files import replacing
from pestle.progress import Task, progress
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.neb import DECLARATION
from pestle.protocols.neb.analysis import analyse, end_numbers, relaxed_atoms
from pestle.protocols.neb.band import WINDOW, automatic_band, first_guess, relax_band
from pestle.protocols.neb.ends import relax
from pestle.protocols.neb.image_calculator import BandError, predict
from pestle.protocols.neb.numbers import NebNumbers
from pestle.protocols.neb.raw_results import (
    ENDS,
    Band,
    End,
    Failure,
    GivenImages,
    RelaxedEnd,
    name_of_band,
    name_of_end,
    name_of_images,
    read_band,
)
from pestle.protocols.neb.reactions import Reaction, has_reference, keyed, reactions
from pestle.protocols.neb.shown import assess, charts, tables
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.settings.probe import NebSettings
from pestle.wording import counted


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
            name = name_of_images(reaction)
            if not raw.has(name):
                raw.write(name, GivenImages(*predict(potential, reaction.structures())))
            if settings.method != "path":
                bar.to(k * each, reaction.name)
                for which in ENDS:
                    _end(potential, reaction, which, settings, raw)
                _band(potential, reaction, settings, raw, bar, k * each + 2 * settings.max_steps)
            bar.to((k + 1) * each, reaction.name)
    raw.finish()


def _end(
    potential: Potential, reaction: Reaction, which: End, settings: NebSettings, raw: RawFolder
) -> None:
    """Relax one end, unless it is relaxed already."""
    name = name_of_end(reaction, which)
    if raw.has(name):
        return
    result: RelaxedEnd | Failure
    try:
        result = relax(potential, reaction.end(which), settings.fmax, settings.max_steps)
    except BandError as error:
        result = Failure(f"the {which} cannot be relaxed: {error}")
    raw.write(name, result)


def _band(
    potential: Potential,
    reaction: Reaction,
    settings: NebSettings,
    raw: RawFolder,
    bar: Task,
    before: int,
) -> None:
    """Relax the band if both ends exist, and write it also as extended XYZ.

    Args:
        potential, reaction, settings, raw: what is relaxed, and where it is written.
        bar: counts steps.
        before: steps that the bar counts before those of the band.
    """
    name, state = name_of_band(reaction), read_band(reaction, raw)
    if isinstance(state, Failure) or end_numbers(reaction, raw).blocked:
        return

    def keep(state: Band) -> None:
        raw.write(name, state)
        bar.to(before + state.steps, f"{reaction.name}, {state.fmax:.2f} eV/Å")

    automatic = settings.method == "autoneb"
    count = min(WINDOW + 2, settings.images) if automatic else settings.images
    start, end = (
        relaxed_atoms(reaction, which, raw.read(name_of_end(reaction, which), RelaxedEnd))
        for which in ENDS
    )
    try:
        given = reaction.structures()
        energy = raw.read(name_of_images(reaction), GivenImages).energy
        guess = first_guess(given, energy, start, end, count)
        if not automatic:
            relax_band(potential, guess, settings, state, keep, guided=len(given) > 2)
        elif state is None:
            keep(automatic_band(potential, guess, settings))
    except BandError as error:
        raw.write(name, Failure(f"the band failed: {error}"))
        return
    relaxed = raw.read(name, Band)
    images = reaction.at(relaxed.positions)
    for k, (atoms, one) in enumerate(zip(images, relaxed.energy, strict=True)):
        # This key of an energy is not one that is read as a label.
        atoms.info |= {"image": k, "model": potential.name, "model_energy": float(one)}
    with replacing(raw.path / f"{name}.xyz") as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _extent(_inputs: Inputs, settings: NebSettings) -> str:
    if settings.method == "path":
        return "the given images"
    return f"{counted(settings.images, 'image')}, at most {counted(settings.max_steps, 'step')}"


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
