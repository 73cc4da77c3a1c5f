"""The nudged elastic band of a reaction, relaxed in pieces so that a stopped run can continue."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory
from ase.mep import NEB, AutoNEB
from ase.optimize import FIRE

from pestle.protocols.neb.image_calculator import BandError, BatchCalculator, predict
from pestle.protocols.neb.path import chained, path_length, resampled
from pestle.protocols.neb.raw_results import TIMESTEP, Band
from pestle.protocols.potential import Potential
from pestle.settings.probe import NebSettings

#: Optimiser steps between two stored states. The optimiser restarts at each of them with its last
#: time step, so that a stopped run and an uninterrupted run follow the same path.
PIECE = 25
#: The highest image climbs once the largest force is below this multiple of the final limit. Before
#: that, the highest image is not yet near the saddle.
LOOSE = 5.0
#: Two atoms closer than this (Å) collide.
MEET = 0.3
#: Images between the ends that AutoNEB relaxes at a time.
WINDOW = 3


def first_guess(
    given: Sequence[Atoms], energy: np.ndarray, start: Atoms, end: Atoms, count: int
) -> list[Atoms]:
    """Make the images of a band, including both ends.

    Args:
        given: reactant, images between, product.
        energy: [n_given] energies of the potential on the given images, eV.
        start, end: the relaxed reactant and product, which become the first and the last image.
        count: number of images. If intermediate images are given, the new images follow them, and
            one lies on the highest of them, because evenly spaced images can miss a narrow saddle.
            Otherwise the images follow the path of the image-dependent pair potential (IDPP, DOI
            10.1063/1.4878664) at even distances.

    Returns:
        `count` images.

    Raises:
        BandError: such a path does not exist.
    """
    path = chained([start, *given[1:-1], end])
    top = 1 + int(np.argmax(energy[1:-1])) if len(given) > 2 and has_top(energy) else None
    images = resampled(path, count) if top is None else _around(path, top, count)
    if len(given) > 2 or len(start) == 1:  # one atom has no pairs
        return images
    periodic = bool(start.pbc.any())
    pairs = np.triu_indices(len(start), 1)
    if min(image.get_all_distances(mic=periodic)[pairs].min() for image in images) < MEET:
        raise BandError(
            "atoms meet on the straight way from reactant to product (give images between them)"
        )
    band = NEB(images, method="improvedtangent")
    band.interpolate("idpp", mic=periodic, apply_constraint=False)
    return images


def _around(path: Sequence[Atoms], top: int, count: int) -> list[Atoms]:
    """Return `count` images along a path: its image `top`, and evenly spaced images on both
    sides.
    """
    length = path_length(path)
    before = round((count - 1) * float(length[top] / length[-1]))
    before = min(max(before, 1), count - 2)
    rising = resampled(path[: top + 1], before + 1)
    return [*rising, *resampled(path[top:], count - before)[1:]]


def has_top(energy: np.ndarray) -> bool:
    """Whether an image between the ends is higher than both ends.

    Args:
        energy: [n_images] eV.
    """
    return bool(energy[1:-1].max() > max(energy[0], energy[-1]))


def relax_band(
    potential: Potential,
    images: list[Atoms],
    settings: NebSettings,
    state: Band | None,
    keep: Callable[[Band], None],
    *,
    guided: bool = False,
) -> None:
    """Relax a band. If an image is higher than both ends, the highest image then climbs.

    Args:
        potential: the potential to relax on.
        images: the first guess; its first and last image are relaxed already and stay fixed.
        settings: settings of the protocol.
        state: the last stored state; `None` at the beginning.
        keep: called with the state after every piece.
        guided: whether the first guess follows given intermediate images. The highest image then
            climbs from the beginning, because the images would otherwise slide down on both sides
            and miss a narrow saddle.

    Raises:
        BandError: the potential gave NaN.
    """
    images = [image.copy() for image in images]
    if state is None:
        energy = predict(potential, images)[0]
        state = Band(
            positions=np.stack([image.positions for image in images]),
            energy=energy,
            fmax=np.inf,
            steps=0,
            final=guided and has_top(energy),
            converged=False,
            finished=False,
        )
    for image, positions in zip(images, state.positions, strict=True):
        image.set_positions(positions, apply_constraint=False)
    _fix_ends(potential, images)
    while not state.finished:
        BatchCalculator.attach(potential, images[1:-1])
        climb = state.final and has_top(state.energy)
        band = NEB(images, k=settings.spring, climb=climb, method="improvedtangent")
        # The first stage may use half of the steps, so that steps are left for the second stage.
        limit = settings.max_steps if state.final else -(-settings.max_steps // 2)
        small = settings.fmax if state.final else LOOSE * settings.fmax
        optimiser = FIRE(band, logfile=None, dt=state.timestep)
        calm = bool(optimiser.run(fmax=small, steps=min(PIECE, limit - state.steps)))
        taken = state.steps + optimiser.nsteps
        energy = np.array([image.get_potential_energy() for image in images])
        # If a highest image appeared while the band relaxed, it has not climbed yet.
        done = state.final and calm and climb == has_top(energy)
        state = Band(
            positions=np.stack([image.positions for image in images]),
            energy=energy,
            fmax=float(np.linalg.norm(band.get_forces(), axis=1).max()),
            steps=taken,
            final=state.final or calm or taken >= limit,
            converged=done,
            finished=done or (state.final and taken >= limit),
            timestep=TIMESTEP if calm else optimiser.dt,
        )
        keep(state)


def automatic_band(potential: Potential, images: list[Atoms], settings: NebSettings) -> Band:
    """Relax a band with ASE's AutoNEB (Kolsbjerg, Groves, Hammer, DOI 10.1063/1.4961868).

    Images are added where they are needed, until there are `settings.images`. Then the highest
    image climbs.

    Args:
        potential: the potential to relax on.
        images: a first guess with few images; its first and last image are relaxed already and stay
            fixed.
        settings: settings of the protocol.

    Returns:
        The band. `fmax` is the largest force of the images that were relaxed
        last. These are the images around the climbing image. If no image is higher than both ends,
        they are the images that were added last, which are relaxed only loosely.

    Raises:
        BandError: the potential gave NaN.
    """
    runs: list[tuple[NEB, FIRE]] = []

    def optimiser(band: NEB, logfile: Any) -> FIRE:
        runs.append((band, FIRE(band, logfile=None)))
        return runs[-1][1]

    _fix_ends(potential, images)
    # AutoNEB passes its images through files, prints much to standard output and warns about ASE's
    # own defaults.
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prefix = Path(folder) / "image"
        for k, image in enumerate(images):
            with Trajectory(f"{prefix}{k:03d}.traj", "w", atoms=image) as file:
                file.write()
        search = AutoNEB(
            lambda group: BatchCalculator.attach(potential, group),
            prefix,
            n_simul=len(images) - 2,
            n_max=settings.images,
            fmax=[LOOSE * settings.fmax, settings.fmax],
            maxsteps=[-(-settings.max_steps // 2), settings.max_steps],
            k=settings.spring,
            climb=False,
            method="improvedtangent",
            optimizer=optimiser,
            parallel=False,
        )
        band = search.run()
        climbs = has_top(predict(potential, band)[0])
        if climbs:
            window, _ = search.which_images_to_run_on()
            search.execute_one_neb(len(band), window, climb=True, many_steps=True)
    force = float(np.linalg.norm(runs[-1][0].get_forces(), axis=1).max())
    return Band(
        positions=np.stack([image.positions for image in band]),
        energy=predict(potential, band)[0],
        fmax=force,
        steps=sum(run.nsteps for _, run in runs),
        final=True,
        converged=force <= (settings.fmax if climbs else LOOSE * settings.fmax),
        finished=True,
    )


def _fix_ends(potential: Potential, images: Sequence[Atoms]) -> None:
    """Calculate the energies of the two ends once and store them."""
    ends = [images[0], images[-1]]
    energy, forces = predict(potential, ends)
    for image, e, f in zip(ends, energy, forces, strict=True):
        image.calc = SinglePointCalculator(image, energy=float(e), forces=f)
