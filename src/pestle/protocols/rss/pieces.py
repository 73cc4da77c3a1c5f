"""Raw results of a random structure search, in pieces that are calculated and written one by
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms, units
from torch_sim.models.interface import ModelInterface

from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.base import Inputs
from pestle.protocols.raw import RawFolder
from pestle.protocols.rss.crystals import batches, compositions, random_crystals, rattled
from pestle.protocols.rss.relaxation import Relaxation, relax
from pestle.records.base import Record
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import Stoichiometry
from pestle.structures.generation.spacing import covalent_sums, nearest


@dataclass(frozen=True)
class RelaxedCrystals(Arrays):
    """Crystals after a cycle, as raw results.

    Attributes:
        status: [crystals] result of the last relaxation, see `Relaxation`.
        steps: [crystals] steps that it took.
        first_energy: [crystals] energy at its start, eV/atom.
        energy: [crystals] energy at its end, eV/atom.
        enthalpy: [crystals] enthalpy at the pressure, eV/atom.
        volume: [crystals] Å³/atom.
        overlap: [crystals] smallest distance, with periodic images, divided by the sum of the
            covalent radii.
        force: [crystals] largest force, eV/Å.
        size: [crystals] number of atoms.
        numbers: [atoms] atomic numbers of all crystals, one crystal after the other.
        positions: [atoms, 3] Å.
        cells: [crystals, 3, 3] Å.
    """

    status: Annotated[np.ndarray, Shape("crystals", of=str)]
    steps: Annotated[np.ndarray, Shape("crystals", of=int)]
    first_energy: Annotated[np.ndarray, Shape("crystals")]
    energy: Annotated[np.ndarray, Shape("crystals")]
    enthalpy: Annotated[np.ndarray, Shape("crystals")]
    volume: Annotated[np.ndarray, Shape("crystals")]
    overlap: Annotated[np.ndarray, Shape("crystals")]
    force: Annotated[np.ndarray, Shape("crystals")]
    size: Annotated[np.ndarray, Shape("crystals", of=int)]
    numbers: Annotated[np.ndarray, Shape("atoms", of=int)]
    positions: Annotated[np.ndarray, Shape("atoms", 3)]
    cells: Annotated[np.ndarray, Shape("crystals", 3, 3)]

    @classmethod
    def after(cls, found: Relaxation, pressure: float) -> RelaxedCrystals:
        """Return the record of one crystal.

        Args:
            found: the result of its relaxation.
            pressure: GPa.
        """
        atoms, size = found.atoms, len(found.atoms)
        energy, volume = found.energy / size, atoms.get_volume() / size
        return cls(
            status=np.array([found.status]),
            steps=np.array([found.steps]),
            first_energy=np.array([found.first_energy / size]),
            energy=np.array([energy]),
            enthalpy=np.array([energy + pressure * units.GPa * volume]),
            volume=np.array([volume]),
            overlap=np.array([nearest(atoms, covalent_sums())]),
            force=np.array([found.force]),
            size=np.array([size]),
            numbers=atoms.numbers,
            positions=atoms.positions,
            cells=atoms.cell.array[None],
        )

    def atoms(self) -> list[Atoms]:
        """Return the geometries of all crystals."""
        ends = np.cumsum(self.size)
        return [
            Atoms(self.numbers[a:b], self.positions[a:b], cell=cell, pbc=True)
            for a, b, cell in zip(ends - self.size, ends, self.cells, strict=True)
        ]

    def crystal(self, k: int) -> RelaxedCrystals:
        """Return the record of crystal k alone."""
        end = int(self.size[: k + 1].sum())
        own, atoms = slice(k, k + 1), slice(end - int(self.size[k]), end)
        return RelaxedCrystals(
            status=self.status[own],
            steps=self.steps[own],
            first_energy=self.first_energy[own],
            energy=self.energy[own],
            enthalpy=self.enthalpy[own],
            volume=self.volume[own],
            overlap=self.overlap[own],
            force=self.force[own],
            size=self.size[own],
            numbers=self.numbers[atoms],
            positions=self.positions[atoms],
            cells=self.cells[own],
        )


class SearchFacts(Record):
    """What is known of all pieces together.

    Attributes:
        batches: formula → number of its batches.
    """

    batches: dict[str, int]


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
) -> RelaxedCrystals:
    """Relax the crystals of one piece.

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
        The crystals after the cycle.
    """
    before: RelaxedCrystals | None = None
    atoms = [piece.start[number] for number in piece.members]
    moving = list(range(len(atoms)))
    if piece.cycle:
        before = raw.read(piece.name_before, RelaxedCrystals)
        atoms = before.atoms()
        moving = np.flatnonzero(before.status != "diverged").tolist()
        if not moving:
            return before
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
    after = dict(zip(moving, ended, strict=True))
    return RelaxedCrystals.joined(
        [
            RelaxedCrystals.after(after[k], piece.pressure)
            if before is None or k in after
            else before.crystal(k)
            for k in range(len(atoms))
        ]
    )
