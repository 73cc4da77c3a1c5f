"""The nudged elastic band of a reaction on a potential, in pieces that a stop cannot take apart."""

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
from pestle.protocols.potential import Potential
from pestle.settings.probe import NebSettings

#: Steps of the optimiser between two states that are kept. It begins anew at each, with the time
#: step that it had reached, so that a run that was stopped goes on as one that was not.
PIECE = 25
#: The top image climbs once the largest force is below this many times the final one: before, the
#: highest image is none near the saddle.
LOOSE = 5.0
#: Å between two atoms that meet.
MEET = 0.3
#: The optimiser's time step at the beginning of a stage, in ASE's units.
TIMESTEP = 0.1
#: Images between the ends that AutoNEB relaxes at a time.
WINDOW = 3


def first_guess(
    given: Sequence[Atoms], energy: np.ndarray, start: Atoms, end: Atoms, count: int
) -> list[Atoms]:
    """Images of a band, both ends included.

    Args:
        given: reactant, images between, product.
        energy: [n_given] of the potential on these, eV.
        start, end: the relaxed ends, which the band begins and ends with.
        count: of images. Where images between are given, they lie along these, one of them on the
            highest (few images evenly spaced miss a narrow saddle); else evenly along the path of
            the image-dependent pair potential (IDPP, DOI 10.1063/1.4878664).

    Raises:
        BandError: there is no such path.
    """
    path = chained([start, *given[1:-1], end])
    top = 1 + int(np.argmax(energy[1:-1])) if len(given) > 2 and has_top(energy) else None
    images = resampled(path, count) if top is None else _around(path, top, count)
    if len(given) > 2 or len(start) == 1:  # one atom has no pairs
        return images
    if min(_nearest(image) for image in images) < MEET:
        raise BandError(
            "atoms meet on the straight way from reactant to product (give images between them)"
        )
    periodic = bool(start.pbc.any())
    band = NEB(images, method="improvedtangent")
    band.interpolate("idpp", mic=periodic, apply_constraint=False)
    return images


def _around(path: Sequence[Atoms], top: int, count: int) -> list[Atoms]:
    """`count` images along a path, one of them its image `top`, evenly on either side of it."""
    length = path_length(path)
    before = round((count - 1) * float(length[top] / length[-1]))
    before = min(max(before, 1), count - 2)
    rising = resampled(path[: top + 1], before + 1)
    return [*rising, *resampled(path[top:], count - before)[1:]]


def has_top(energy: np.ndarray) -> bool:
    """Whether an image between the ends is higher than both."""
    return bool(energy[1:-1].max() > max(energy[0], energy[-1]))


def relax_band(
    potential: Potential,
    images: list[Atoms],
    settings: NebSettings,
    state: dict[str, Any] | None,
    keep: Callable[[dict[str, Any]], None],
    *,
    guided: bool = False,
) -> None:
    """Relax a band, then let its top climb, if an image is higher than both ends.

    Args:
        potential: on which.
        images: first guess; their ends are relaxed and stay.
        settings: of the protocol.
        state: the last one that was kept; `None` at the beginning.
        guided: whether the guess follows images that were given between the ends: its top then
            climbs from the beginning, since few images that slide down to either side lose a
            narrow saddle.
        keep: is given the state after every piece: `positions` [n_images, n_atoms, 3] Å, `energy`
            [n_images] eV, `fmax` (eV/Å, the largest force of the band), `steps`, `final`
            (whether the second stage has begun), `converged`, `finished`, `timestep` (of the
            optimiser).

    Raises:
        BandError: the potential gave NaN.
    """
    images = [image.copy() for image in images]
    if state is None:
        energy = predict(potential, images)[0]
        state = {"steps": 0, "final": guided and has_top(energy), "energy": energy}
        state |= {"finished": False, "timestep": TIMESTEP}
    else:
        _place(images, state["positions"])
    _fix_ends(potential, images)
    while not state["finished"]:
        BatchCalculator.attach(potential, images[1:-1])
        final, taken = bool(state["final"]), int(state["steps"])
        climb = final and has_top(state["energy"])
        band = NEB(images, k=settings.spring, climb=climb, method="improvedtangent")
        # The first stage may take half of the steps, so that the second always has some.
        limit = settings.max_steps if final else -(-settings.max_steps // 2)
        small = settings.fmax if final else LOOSE * settings.fmax
        optimiser = FIRE(band, logfile=None, dt=float(state["timestep"]))
        calm = bool(optimiser.run(fmax=small, steps=min(PIECE, limit - taken)))
        taken += optimiser.nsteps
        energy = np.array([image.get_potential_energy() for image in images])
        # A top that came up while the band relaxed has not climbed yet.
        done = final and calm and climb == has_top(energy)
        state = {
            "positions": np.stack([image.positions for image in images]),
            "energy": energy,
            "fmax": float(np.linalg.norm(band.get_forces(), axis=1).max()),
            "steps": taken,
            "final": final or calm or taken >= limit,
            "converged": done,
            "finished": done or (final and taken >= limit),
            "timestep": TIMESTEP if calm else optimiser.dt,
        }
        keep(state)


def automatic_band(
    potential: Potential, images: list[Atoms], settings: NebSettings
) -> dict[str, Any]:
    """ASE's AutoNEB (Kolsbjerg, Groves, Hammer, DOI 10.1063/1.4961868): images are added where they
    are needed, until there are `settings.images`; then the top climbs.

    Args:
        potential: on which.
        images: first guess of few images; their ends are relaxed and stay.
        settings: of the protocol.

    Returns:
        The state that `relax_band` keeps; `fmax` is that of the last few images that were relaxed:
        those around the climbing one, or, where none is higher than both ends, the last ones added,
        which are relaxed loosely.

    Raises:
        BandError: the potential gave NaN.
    """
    runs: list[tuple[NEB, FIRE]] = []

    def optimiser(band: NEB, logfile: Any) -> FIRE:
        runs.append((band, FIRE(band, logfile=None)))
        return runs[-1][1]

    _fix_ends(potential, images)
    # AutoNEB hands its images over in files, says much on standard output and warns of ASE's own
    # defaults.
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
    return {
        "positions": np.stack([image.positions for image in band]),
        "energy": predict(potential, band)[0],
        "fmax": force,
        "steps": sum(run.nsteps for _, run in runs),
        "final": True,
        "converged": force <= (settings.fmax if climbs else LOOSE * settings.fmax),
        "finished": True,
    }


def _nearest(atoms: Atoms) -> float:
    """The shortest distance between two atoms, Å."""
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    return float(distances[np.triu_indices(len(atoms), 1)].min())


def _place(images: Sequence[Atoms], positions: Sequence[np.ndarray]) -> None:
    for image, at in zip(images, positions, strict=True):
        image.set_positions(at, apply_constraint=False)


def _fix_ends(potential: Potential, images: Sequence[Atoms]) -> None:
    """Give the ends their energies once and for all."""
    ends = [images[0], images[-1]]
    energy, forces = predict(potential, ends)
    for image, e, f in zip(ends, energy, forces, strict=True):
        image.calc = SinglePointCalculator(image, energy=float(e), forces=f)
