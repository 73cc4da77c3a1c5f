"""Trajectories of molecular dynamics: how they are kept, read back and handed to users."""

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

#: Frames of a structure that are written as extended XYZ at most, evenly taken.
MAX_XYZ_FRAMES = 500

_SCALARS = ("step", "leg", "thermostat", "temperature", "potential", "total", "volume", "stress")


@dataclass(frozen=True)
class Run:
    """What one structure did, frame by frame; the last frame of a stopped one is where it stopped.

    Attributes:
        numbers: [n_atoms] atomic numbers.
        pbc: [3] periodic along which cell vector.
        legs: names of the legs.
        step: [n_frames] from 0.
        time: [n_frames] ps.
        leg: [n_frames] number of the leg.
        thermostat, temperature: [n_frames] K.
        potential, total: [n_frames] eV; total is potential and kinetic energy.
        volume: [n_frames] Å³; NaN unless periodic in three directions.
        stress: [n_frames] GPa, a third of its trace in ASE's sign (negative: it swells); NaN unless
            at constant pressure.
        cells: [n_frames, 3, 3] Å, rows.
        positions: [n_frames, n_atoms, 3] Å, float32, never wrapped.
        stopped: where and why it was stopped; `None` if it came to the end.
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
        """[n_frames] whether a frame is of this leg."""
        return self.leg == (self.legs.index(leg) if leg in self.legs else -1)

    def atoms(self, frame: int) -> Atoms:
        """One frame, without calculator."""
        return Atoms(self.numbers, self.positions[frame], cell=self.cells[frame], pbc=self.pbc)


class Trajectory:
    """All that a run of molecular dynamics left; structures are read one at a time.

    Args:
        raw: where it lies.
        name: of the run.
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
        """File and frame that each structure came from."""
        return list(self._setup["where"])

    def run(self, index: int) -> Run:
        """What one structure did."""
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
        """What all structures did."""
        return [self.run(k) for k in range(len(self))]

    @property
    def simulated(self) -> float:
        """ps of all structures together."""
        groups = range(len(self._setup["groups"]))
        names = [name for group in groups for name in self._segments(group)]
        steps = sum(int(self._raw.read(name)["steps"]) for name in names)
        return steps * self.timestep / 1e3

    def write_xyz(self, path: Path, index: int, frame: Frame) -> None:
        """One structure as extended XYZ, `MAX_XYZ_FRAMES` frames at most, the last among them."""
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
    """At most so many of 0 … total − 1, evenly taken, the last among them: there it shows what
    became of a run that was lost."""
    return [*evenly(range(total - 1), most - 1), total - 1]


def read_trajectory(raw: RawFolder, name: str) -> Trajectory:
    """The trajectory of the run of this name."""
    return Trajectory(raw, name)


def write_setup(
    raw: RawFolder,
    name: str,
    starts: Sequence[Frame],
    legs: Sequence[Leg],
    clock: Clockwork,
    groups: Sequence[tuple[str, list[int]]],
) -> None:
    """What the segments do not say themselves."""
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
    """Frames of one segment.

    Args:
        bodies: that move in it.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._shapes = {body.index: len(body) for body in bodies}
        self._frames: dict[int, list[dict[str, Any]]] = {k: [] for k in self._shapes}
        self._stops = dict.fromkeys(self._shapes, "")

    def take(self, body: Body, leg: int, step: int, thermostat: float) -> None:
        """Keep the body as it is."""
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
        """Keep where and why it stopped."""
        assert body.stopped is not None
        self._stops[body.index] = json.dumps(asdict(body.stopped))

    def arrays(self) -> dict[str, np.ndarray]:
        """As they are written."""
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
