"""Raw results of a molecular dynamics run.

A run writes its setup once. Each group of structures that move together writes its frames after
every segment, and the state from which the next segment starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.dynamics.course import Leg
from pestle.records.base import Record


class Setup(Record):
    """What the segments do not contain.

    Attributes:
        legs: the legs of the run.
        timestep: time step, fs.
        engines: the engine of each group, `ase` or `torch-sim`.
        groups: numbers of the structures of each group.
        where: file and frame of each starting structure.
        numbers: atomic numbers of each structure.
        pbc: whether each structure is periodic along each cell vector.
    """

    legs: list[Leg]
    timestep: float
    engines: list[str]
    groups: list[list[int]]
    where: list[str]
    numbers: list[list[int]]
    pbc: list[list[bool]]


@dataclass(frozen=True)
class SetupText(Arrays):
    """A `Setup` as JSON.

    Attributes:
        json: the text.
    """

    json: str


@dataclass(frozen=True)
class BodyFrames(Arrays):
    """Frames of one structure.

    Attributes:
        step: [frames] number of the step, from 0.
        leg: [frames] number of the leg.
        thermostat, temperature: [frames] temperature of the thermostat and of the atoms, K.
        potential, total: [frames] potential and total energy (potential + kinetic), eV.
        volume: [frames] Å³; NaN unless periodic in three directions.
        stress: [frames] a third of the trace of the stress, GPa; NaN if it is unknown.
        cells: [frames, 3, 3] Å, lattice vectors are rows.
        positions: [frames, atoms, 3] Å, float32.
        stop: where and why the structure was stopped, as a text of `Stop`; empty if it was not.
    """

    step: Annotated[np.ndarray, Shape("frames", of=int)]
    leg: Annotated[np.ndarray, Shape("frames", of=int)]
    thermostat: Annotated[np.ndarray, Shape("frames")]
    temperature: Annotated[np.ndarray, Shape("frames")]
    potential: Annotated[np.ndarray, Shape("frames")]
    total: Annotated[np.ndarray, Shape("frames")]
    volume: Annotated[np.ndarray, Shape("frames")]
    stress: Annotated[np.ndarray, Shape("frames")]
    cells: Annotated[np.ndarray, Shape("frames", 3, 3)]
    positions: Annotated[np.ndarray, Shape("frames", "atoms", 3)]
    stop: str = ""

    @classmethod
    def none(cls, n_atoms: int) -> BodyFrames:
        """Return no frames of a structure with so many atoms."""
        whole, real = np.zeros(0, dtype=int), np.zeros(0)
        places = np.zeros((0, n_atoms, 3), dtype=np.float32)
        cells = np.zeros((0, 3, 3))
        return cls(whole, whole, real, real, real, real, real, real, cells, places)


@dataclass(frozen=True)
class SegmentFrames(Arrays):
    """Frames of one segment of a group.

    Attributes:
        steps: time steps that were made, summed over the structures.
        bodies: number of the structure → its frames.
    """

    steps: int
    bodies: dict[int, BodyFrames]


@dataclass(frozen=True)
class BodyState(Arrays):
    """The state of one structure; see `Body`.

    Attributes:
        positions: [atoms, 3] Å.
        momenta: [atoms, 3] in ASE's units.
        cell: [3, 3] Å.
        piston: momentum of the piston.
        warmth: running average of the temperature, K.
        stop: where and why the structure was stopped, as a text of `Stop`; empty if it was not.
    """

    positions: Annotated[np.ndarray, Shape("atoms", 3)]
    momenta: Annotated[np.ndarray, Shape("atoms", 3)]
    cell: Annotated[np.ndarray, Shape(3, 3)]
    piston: float
    warmth: float
    stop: str


@dataclass(frozen=True)
class GroupState(Arrays):
    """The state of a group after its last segment.

    Attributes:
        done: number of segments that exist.
        bodies: number of the structure → its state.
    """

    done: int
    bodies: dict[int, BodyState]
