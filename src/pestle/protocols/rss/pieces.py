"""Raw results of a random structure search, in pieces that are calculated and written one by
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from torch_sim.models.interface import ModelInterface

from pestle.protocols.base import Inputs
from pestle.protocols.raw import RawFolder
from pestle.protocols.rss.crystals import batches, compositions, random_crystals, rattled
from pestle.protocols.rss.relaxation import Relaxation, relax
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import Stoichiometry
from pestle.structures.generation.spacing import covalent_sums, nearest


@dataclass(frozen=True)
class Piece:
    """A batch of crystals in one cycle.

    Attributes:
        composition, pressure: composition and pressure (GPa) of the crystals.
        batch: number of the batch.
        members: numbers of its crystals.
        start: all random crystals of the composition.
        cycle: number of the cycle, from 0.
    """

    composition: Stoichiometry
    pressure: float
    batch: int
    members: range
    start: list[Atoms]
    cycle: int

    @property
    def name(self) -> str:
        """Name of the raw results."""
        return piece_name(self.composition.formula, self.pressure, self.batch, self.cycle)

    @property
    def name_before(self) -> str:
        """Name of the raw results of the same batch in the previous cycle."""
        return piece_name(self.composition.formula, self.pressure, self.batch, self.cycle - 1)


def piece_name(formula: str, pressure: float, batch: int, cycle: int) -> str:
    """Return the name of raw results.

    Args:
        formula: the composition.
        pressure: GPa.
        batch: number of the batch.
        cycle: number of the cycle, from 0.
    """
    return f"{formula}_{pressure:.12g}GPa_{batch}_{cycle}"


def pressures(settings: RssSettings) -> list[float]:
    """Return the different pressures of the settings, GPa."""
    return list(dict.fromkeys(settings.pressures))


def pieces(inputs: Inputs, settings: RssSettings) -> Iterator[Piece]:
    """Yield all pieces in the order of calculation."""
    for composition in compositions(inputs, settings):
        start = random_crystals(composition, settings, inputs.seed)
        for pressure in pressures(settings):
            for batch, members in enumerate(batches(start, settings.batch)):
                for cycle in range(settings.cycles):
                    yield Piece(composition, pressure, batch, members, start, cycle)


def calculated(
    piece: Piece,
    model: ModelInterface,
    seed: int,
    settings: RssSettings,
    raw: RawFolder,
    on_step: Callable[[int, int], None],
) -> dict[str, np.ndarray]:
    """Calculate the arrays of one piece.

    The previous cycle is read from its file, so that a restarted run gives the same results. A
    crystal that diverged in an earlier cycle keeps its last geometry.

    Args:
        piece: the piece.
        model: gives energies, forces and stresses.
        seed: seed of the run.
        settings: settings of the protocol.
        raw: folder with the previous cycle.
        on_step: called after each step with the steps so far and the crystals that still move.

    Returns:
        Arrays as `packed` makes them.
    """
    atoms = [piece.start[number] for number in piece.members]
    rows: list[dict[str, Any]] = [{"status": ""} for _ in atoms]
    if piece.cycle:
        rows, atoms = unpacked(raw.read(piece.name_before))
    moving = [k for k, row in enumerate(rows) if row["status"] != "diverged"]
    if not moving:
        return packed(rows, atoms)
    begin = [atoms[k] for k in moving]
    if piece.cycle:
        named = [(piece.composition, piece.members[k], piece.cycle) for k in moving]
        begin = [rattled(a, settings.rattle, seed, *n) for a, n in zip(begin, named, strict=True)]
    ended = relax(
        model,
        begin,
        pressure=piece.pressure,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
        on_step=on_step,
    )
    for k, relaxation in zip(moving, ended, strict=True):
        rows[k], atoms[k] = figures(relaxation, piece.pressure), relaxation.atoms
    return packed(rows, atoms)


def figures(found: Relaxation, pressure: float) -> dict[str, Any]:
    """Return the stored values of one crystal without its geometry.

    Args:
        found: the relaxed crystal.
        pressure: GPa.

    Returns:
        Energies in eV/atom (`enthalpy` at the pressure), `volume` in Å³/atom, `overlap` (smallest
        distance, with periodic images, divided by the sum of the covalent radii), `force` in eV/Å.
    """
    atoms, size = found.atoms, len(found.atoms)
    volume = atoms.get_volume() / size
    return {
        "status": found.status,
        "steps": found.steps,
        "first_energy": found.first_energy / size,
        "energy": found.energy / size,
        "enthalpy": found.energy / size + pressure * units.GPa * volume,
        "volume": volume,
        "overlap": nearest(atoms, covalent_sums()),
        "force": found.force,
    }


def packed(rows: Sequence[dict[str, Any]], atoms: Sequence[Atoms]) -> dict[str, np.ndarray]:
    """Put crystals into arrays.

    Args:
        rows: values of each crystal.
        atoms: the crystals, n of them.

    Returns:
        One array [n] for each value; `size` [n]; `numbers` [n_atoms] and `positions` [n_atoms, 3] Å
        of all crystals, one after the other; `cells` [n, 3, 3] Å.
    """
    return {key: np.array([row[key] for row in rows]) for key in rows[0]} | {
        "size": np.array([len(a) for a in atoms]),
        "numbers": np.concatenate([a.numbers for a in atoms]),
        "positions": np.concatenate([a.positions for a in atoms]),
        "cells": np.stack([a.cell.array for a in atoms]),
    }


def unpacked(arrays: dict[str, np.ndarray]) -> tuple[list[dict[str, Any]], list[Atoms]]:
    """Return values and crystals from the arrays of `packed`."""
    plain = {"size", "numbers", "positions", "cells"}
    keys = [key for key in arrays if key not in plain]
    rows = [{key: arrays[key][k] for key in keys} for k in range(len(arrays["size"]))]
    ends = np.cumsum(arrays["size"])
    atoms = [
        Atoms(arrays["numbers"][a:b], arrays["positions"][a:b], cell=cell, pbc=True)
        for a, b, cell in zip(ends - arrays["size"], ends, arrays["cells"], strict=True)
    ]
    return rows, atoms
