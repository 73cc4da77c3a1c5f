"""Trajectories of molecular dynamics: how they are stored, read and exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from pestle.files import replacing
from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork, Leg, Stop
from pestle.protocols.dynamics.stored import BodyFrames, SegmentFrames, Setup, SetupText
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame, evenly

#: Largest number of frames of a structure that are written as extended XYZ, evenly spaced.
MAX_XYZ_FRAMES = 500


@dataclass(frozen=True)
class Run:
    """The trajectory of one structure. If it was stopped, the last frame is the point where it
    stopped.

    Attributes:
        numbers: [n_atoms] atomic numbers.
        pbc: [3] whether it is periodic along each cell vector.
        legs: names of the legs.
        step: [n_frames] number of the step, from 0.
        time: [n_frames] ps.
        leg: [n_frames] number of the leg.
        thermostat, temperature: [n_frames] temperature of the thermostat and of the atoms, K.
        potential, total: [n_frames] potential and total energy (potential + kinetic), eV.
        volume: [n_frames] Å³; NaN unless periodic in three directions.
        stress: [n_frames] a third of the trace of the stress, GPa, in ASE's sign (negative: the
            structure tends to expand); NaN in ensembles other than constant pressure.
        cells: [n_frames, 3, 3] Å, lattice vectors are rows.
        positions: [n_frames, n_atoms, 3] Å, float32, never wrapped into the cell.
        stopped: where and why it was stopped; `None` if it reached the end.
    """

    numbers: np.ndarray
    pbc: np.ndarray
    legs: tuple[str, ...]
    step: np.ndarray
    time: np.ndarray
    leg: np.ndarray
    thermostat: np.ndarray
    temperature: np.ndarray
    potential: np.ndarray
    total: np.ndarray
    volume: np.ndarray
    stress: np.ndarray
    cells: np.ndarray
    positions: np.ndarray
    stopped: Stop | None

    def __len__(self) -> int:
        return len(self.step)

    def within(self, leg: str) -> np.ndarray:
        """Return [n_frames] booleans: whether a frame belongs to the leg of this name."""
        return self.leg == (self.legs.index(leg) if leg in self.legs else -1)

    def atoms(self, frame: int) -> Atoms:
        """Return one frame, without calculator."""
        return Atoms(self.numbers, self.positions[frame], cell=self.cells[frame], pbc=self.pbc)


class Trajectory:
    """The stored results of a molecular dynamics run; each structure is read when it is needed.

    Args:
        raw: folder of the results.
        name: name of the run.
    """

    def __init__(self, raw: RawFolder, name: str) -> None:
        self._raw, self.name = raw, name
        stored = f"{name}-setup"
        text = raw.read(stored, SetupText).json
        self._setup = Setup.of(json.loads(text), str(raw.path / f"{stored}.npz"))
        self.legs = tuple(leg.name for leg in self._setup.legs)
        self.timestep = self._setup.timestep

    def __len__(self) -> int:
        """Number of structures."""
        return len(self._setup.where)

    @property
    def where(self) -> list[str]:
        """File and frame that each structure came from."""
        return self._setup.where

    def run(self, index: int) -> Run:
        """Return the trajectory of one structure."""
        group = next(g for g, members in enumerate(self._setup.groups) if index in members)
        segments = [self._raw.read(name, SegmentFrames) for name in self._segments(group)]
        # A structure that was lost is missing in the segments that follow.
        found = BodyFrames.joined([s.bodies[index] for s in segments if index in s.bodies])
        return Run(
            numbers=np.array(self._setup.numbers[index]),
            pbc=np.array(self._setup.pbc[index]),
            legs=self.legs,
            step=found.step,
            time=found.step * self.timestep / 1e3,
            leg=found.leg,
            thermostat=found.thermostat,
            temperature=found.temperature,
            potential=found.potential,
            total=found.total,
            volume=found.volume,
            stress=found.stress,
            cells=found.cells,
            positions=found.positions,
            stopped=Stop.of_text(found.stop),
        )

    def runs(self) -> list[Run]:
        """Return the trajectories of all structures."""
        return [self.run(k) for k in range(len(self))]

    @property
    def simulated(self) -> float:
        """Simulated time, ps, summed over all structures."""
        groups = range(len(self._setup.groups))
        names = [name for group in groups for name in self._segments(group)]
        steps = sum(self._raw.read(name, SegmentFrames).steps for name in names)
        return steps * self.timestep / 1e3

    def write_xyz(self, path: Path, index: int, frame: Frame) -> None:
        """Write one structure's trajectory as extended XYZ.

        At most `MAX_XYZ_FRAMES` frames are written, always including the last one.

        Args:
            path: file to write.
            index: number of the structure.
            frame: its starting structure.
        """
        run = self.run(index)
        images = []
        for k in some_frames(len(run), MAX_XYZ_FRAMES):
            atoms = run.atoms(k)
            atoms.info = {
                "start": frame.where,
                "leg": run.legs[int(run.leg[k])],
                "step": int(run.step[k]),
                "time_ps": float(run.time[k]),
                "temperature_K": float(run.temperature[k]),
                "potential_energy_eV": float(run.potential[k]),
            }
            images.append(atoms)
        with replacing(path) as temporary:
            ase.io.write(temporary, images, format="extxyz")

    def _segments(self, group: int) -> list[str]:
        """Return the names of the results of a group's segments, in order."""
        return sorted(p.stem for p in self._raw.path.glob(f"{self.name}-{group}-[0-9]*.npz"))


def some_frames(total: int, most: int) -> list[int]:
    """Return evenly spaced indices of frames, always including the last one.

    The last frame shows how a lost run ended.

    Args:
        total: number of frames.
        most: largest number of indices.
    """
    return [*evenly(range(total - 1), most - 1), total - 1]


def write_setup(
    raw: RawFolder,
    name: str,
    starts: Sequence[Frame],
    legs: Sequence[Leg],
    clock: Clockwork,
    groups: Sequence[tuple[str, list[int]]],
) -> None:
    """Write what the segments do not contain.

    Args:
        raw: folder for the results.
        name: name of the run.
        starts: the starting structures.
        legs: the legs of the run.
        clock: gives the time step.
        groups: engine and numbers of the structures that it moves together.
    """
    setup = Setup(
        legs=list(legs),
        timestep=clock.timestep,
        engines=[engine for engine, _ in groups],
        groups=[members for _, members in groups],
        where=[frame.where for frame in starts],
        numbers=[frame.numbers.tolist() for frame in starts],
        pbc=[frame.atoms.pbc.tolist() for frame in starts],
    )
    raw.write(f"{name}-setup", SetupText(json.dumps(setup.to_json())))


class Recorder:
    """Collects the frames of one segment.

    Args:
        bodies: the bodies that move in it.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._frames = {body.index: [BodyFrames.none(len(body))] for body in bodies}

    def take(self, body: Body, leg: int, step: int, thermostat: float) -> None:
        """Store the current state of a body; of a stopped one also where and why it was stopped.

        Args:
            body: the body.
            leg: number of the leg.
            step: number of the step, from 0.
            thermostat: temperature of the thermostat, K.
        """
        frame = BodyFrames(
            step=np.array([step]),
            leg=np.array([leg]),
            thermostat=np.array([thermostat]),
            temperature=np.array([body.temperature]),
            potential=np.array([body.energy]),
            total=np.array([body.energy + body.kinetic_energy]),
            volume=np.array([body.volume]),
            stress=np.array([body.stress]),
            cells=body.cell[None],
            positions=body.positions[None].astype(np.float32),
            stop="" if body.stopped is None else body.stopped.to_text(),
        )
        self._frames[body.index].append(frame)

    def frames(self) -> dict[int, BodyFrames]:
        """Return number of the structure → its frames."""
        return {index: BodyFrames.joined(frames) for index, frames in self._frames.items()}
