"""Trajectories of molecular dynamics: how they are stored, read and exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from pestle.files import replacing
from pestle.protocols.dynamics.body import Body, Clockwork, Leg, Stop
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame, evenly

#: Largest number of frames of a structure that are written as extended XYZ, evenly spaced.
MAX_XYZ_FRAMES = 500

_SCALARS = ("step", "leg", "thermostat", "temperature", "potential", "total", "volume", "stress")


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
        self._setup = json.loads(str(raw.read(f"{name}-setup")["json"]))
        self.legs = tuple(leg["name"] for leg in self._setup["legs"])
        self.timestep: float = self._setup["timestep"]

    def __len__(self) -> int:
        """Number of structures."""
        return len(self._setup["where"])

    @property
    def where(self) -> list[str]:
        """Return file and frame that each structure came from."""
        return list(self._setup["where"])

    def run(self, index: int) -> Run:
        """Return the trajectory of one structure."""
        group = next(g for g, members in enumerate(self._setup["groups"]) if index in members)
        parts: dict[str, list[np.ndarray]] = {}
        stopped = None
        for name in self._segments(group):
            content = self._raw.read(name)
            if f"step_{index}" not in content:
                continue  # it was lost in a segment before
            for key in (*_SCALARS, "cells", "positions"):
                parts.setdefault(key, []).append(content[f"{key}_{index}"])
            stop = str(content[f"stop_{index}"])
            stopped = Stop(**json.loads(stop)) if stop else None
        found = {key: np.concatenate(arrays) for key, arrays in parts.items()}
        return Run(
            np.array(self._setup["numbers"][index]),
            np.array(self._setup["pbc"][index]),
            self.legs,
            time=found["step"] * self.timestep / 1e3,
            stopped=stopped,
            **found,
        )

    def runs(self) -> list[Run]:
        """Return the trajectories of all structures."""
        return [self.run(k) for k in range(len(self))]

    @property
    def simulated(self) -> float:
        """Return the simulated time, ps, summed over all structures."""
        groups = range(len(self._setup["groups"]))
        names = [name for group in groups for name in self._segments(group)]
        steps = sum(int(self._raw.read(name)["steps"]) for name in names)
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
        """Names of what the segments of a group left."""
        return sorted(p.stem for p in self._raw.path.glob(f"{self.name}-{group}-[0-9]*.npz"))


def some_frames(total: int, most: int) -> list[int]:
    """Return evenly spaced indices of frames, always including the last one.

    The last frame shows how a lost run ended.

    Args:
        total: number of frames.
        most: largest number of indices.
    """
    return [*evenly(range(total - 1), most - 1), total - 1]


def read_trajectory(raw: RawFolder, name: str) -> Trajectory:
    """Return the trajectory of the run with this name."""
    return Trajectory(raw, name)


def write_setup(
    raw: RawFolder,
    name: str,
    starts: Sequence[Frame],
    legs: Sequence[Leg],
    clock: Clockwork,
    groups: Sequence[tuple[str, list[int]]],
) -> None:
    """Write the information that the segments do not contain."""
    setup = {
        "legs": [asdict(leg) for leg in legs],
        "timestep": clock.timestep,
        "engines": [engine for engine, _ in groups],
        "groups": [members for _, members in groups],
        "where": [frame.where for frame in starts],
        "numbers": [frame.numbers.tolist() for frame in starts],
        "pbc": [frame.atoms.pbc.tolist() for frame in starts],
    }
    raw.write(f"{name}-setup", json=np.array(json.dumps(setup)))


class Recorder:
    """Collects the frames of one segment.

    Args:
        bodies: the bodies that move in it.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._shapes = {body.index: len(body) for body in bodies}
        self._frames: dict[int, list[dict[str, Any]]] = {k: [] for k in self._shapes}
        self._stops = dict.fromkeys(self._shapes, "")

    def take(self, body: Body, leg: int, step: int, thermostat: float) -> None:
        """Store the current state of a body.

        Args:
            body: the body.
            leg: number of the leg.
            step: number of the step, from 0.
            thermostat: temperature of the thermostat, K.
        """
        self._frames[body.index].append(
            {
                "step": step,
                "leg": leg,
                "thermostat": thermostat,
                "temperature": body.temperature,
                "potential": body.energy,
                "total": body.energy + body.kinetic_energy,
                "volume": body.volume,
                "stress": body.stress,
                "cells": body.cell.copy(),
                "positions": body.positions.astype(np.float32),
            }
        )

    def stop(self, body: Body) -> None:
        """Store where and why a body stopped."""
        assert body.stopped is not None
        self._stops[body.index] = json.dumps(asdict(body.stopped))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are written to the file."""
        found: dict[str, np.ndarray] = {}
        for k, n_atoms in self._shapes.items():
            frames = self._frames[k]
            for key in _SCALARS:
                kind = int if key in ("step", "leg") else float
                found[f"{key}_{k}"] = np.array([f[key] for f in frames], dtype=kind)
            cells = [f["cells"] for f in frames]
            found[f"cells_{k}"] = np.array(cells, dtype=float).reshape(-1, 3, 3)
            where = [f["positions"] for f in frames]
            found[f"positions_{k}"] = np.array(where, dtype=np.float32).reshape(-1, n_atoms, 3)
            found[f"stop_{k}"] = np.array(self._stops[k])
        return found
