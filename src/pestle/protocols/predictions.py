"""Predictions of many structures in a raw folder, in pieces, so that a stopped run can continue.

Energies are stored with and without the E0s, so that the E0s can be replaced later by those of
another level of theory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Annotated

import numpy as np

from pestle.foundations.interface import REPLAY_HEAD
from pestle.foundations.prediction import FramePrediction
from pestle.progress import Task, progress
from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.records.base import Record
from pestle.records.results import Numbers
from pestle.structures.frame import Frame

#: Largest number of atoms in a piece, unless one structure has more: about one batch of a solid.
PIECE_ATOMS = 2000
#: The same for an ASE calculator, which may take minutes for each frame.
CALCULATOR_PIECE_ATOMS = 100


@dataclass(frozen=True)
class PredictedPiece(Arrays):
    """Predictions of the frames of a piece, and their atoms one frame after the other.

    Attributes:
        energy: [frames] total energy, eV.
        interaction_energy: [frames] energy without the E0s, eV.
        forces: [atoms, 3] eV/Å.
        stress: [frames, 3, 3] eV/Å³; NaN if there is none.
        has_stress: [frames] whether there is a stress.
    """

    energy: Annotated[np.ndarray, Shape("frames")]
    interaction_energy: Annotated[np.ndarray, Shape("frames")]
    forces: Annotated[np.ndarray, Shape("atoms", 3)]
    stress: Annotated[np.ndarray, Shape("frames", 3, 3)]
    has_stress: Annotated[np.ndarray, Shape("frames", of=bool)]


class PredictionFacts(Record):
    """What is known of all pieces together.

    Attributes:
        reference_energies: atomic number → E0 of the potential, eV; `None` if it has none.
        replay_head: whether the replay head of a model predicted.
        ends: index after the last frame of each piece.
    """

    reference_energies: dict[int, float] | None
    replay_head: bool
    ends: list[int]


def pieces(frames: Sequence[Frame], most: int | None = None) -> list[slice]:
    """Divide frames into consecutive pieces, each with at least one frame.

    Args:
        frames: the frames.
        most: largest number of atoms in a piece; by default `PIECE_ATOMS`.
    """
    most = most or PIECE_ATOMS
    found, start, atoms = [], 0, 0
    for k, frame in enumerate(frames):
        if k > start and atoms + len(frame) > most:
            found.append(slice(start, k))
            start, atoms = k, 0
        atoms += len(frame)
    return [*found, slice(start, len(frames))] if frames else found


def calculate_predictions(
    potential: Potential, frames: Sequence[Frame], raw: RawFolder, title: str
) -> None:
    """Predict the missing structures, write them piece by piece, and finish the raw folder.

    The pieces depend only on the frames, so that stopped and uninterrupted calculations use the
    same batches.

    Args:
        potential: the potential.
        frames: the structures.
        raw: folder for the predictions.
        title: title of the progress bar.
    """
    network = isinstance(potential, ModelPotential)
    parts = pieces(frames, PIECE_ATOMS if network else min(PIECE_ATOMS, CALCULATOR_PIECE_ATOMS))
    with progress(title, max(1, len(frames))) as bar:
        for k, piece in enumerate(parts):
            if not raw.has(_name(k)):
                said = potential.predict(frames[piece], partial(_advance, bar, piece.start))
                nothing = np.full((3, 3), np.nan)
                predicted = PredictedPiece(
                    energy=np.array([p.energy for p in said]),
                    interaction_energy=np.array([p.interaction_energy for p in said]),
                    forces=np.concatenate([p.forces for p in said]),
                    stress=np.array([nothing if p.stress is None else p.stress for p in said]),
                    has_stress=np.array([p.stress is not None for p in said]),
                )
                raw.write(_name(k), predicted)
            bar.to(piece.stop)
    e0s = potential.reference_energies
    raw.finish(
        PredictionFacts(
            reference_energies=None if e0s is None else {int(z): float(e) for z, e in e0s.items()},
            replay_head=isinstance(potential, ModelPotential) and potential.head == REPLAY_HEAD,
            ends=[piece.stop for piece in parts],
        )
    )


def read_predictions(raw: RawFolder, frames: Sequence[Frame]) -> list[FramePrediction]:
    """Return the predictions that `calculate_predictions` wrote.

    Args:
        raw: folder of the predictions.
        frames: the same frames, in the same order.
    """
    found = []
    for k, (start, stop) in enumerate(pairwise([0, *raw.facts(PredictionFacts).ends])):
        piece = raw.read(_name(k), PredictedPiece)
        sizes = [len(frame) for frame in frames[start:stop]]
        forces = np.split(piece.forces, np.cumsum(sizes)[:-1])
        found += [
            FramePrediction(
                float(piece.energy[j]),
                float(piece.interaction_energy[j]),
                forces[j],
                piece.stress[j] if piece.has_stress[j] else None,
            )
            for j in range(len(forces))
        ]
    return found


def reference_energies(raw: RawFolder) -> dict[int, float] | None:
    """Return the E0s of the potential by atomic number, eV; `None` if it has none."""
    return raw.facts(PredictionFacts).reference_energies


def of_replay_head(raw: RawFolder) -> bool:
    """Whether the predictions come from the replay head of a model."""
    return raw.facts(PredictionFacts).replay_head


def with_reference_energies(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction], e0s: Mapping[int, float]
) -> list[FramePrediction]:
    """Replace the E0s in predictions.

    Args:
        frames: the structures.
        predictions: one for each structure.
        e0s: atomic number → new E0, eV.
    """
    return [
        replace(
            prediction,
            energy=prediction.interaction_energy + sum(e0s[z] for z in frame.numbers.tolist()),
        )
        for frame, prediction in zip(frames, predictions, strict=True)
    ]


class NotFinite(Numbers):
    """Frames on which a prediction is not finite.

    Attributes:
        count: number of these frames.
        first: file and number of the first one.
    """

    count: int
    first: str


def not_finite(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> NotFinite | None:
    """Find frames on which a prediction is not finite; `None` if all are finite.

    Args:
        frames: the structures.
        predictions: one for each frame.
    """
    bad = [f.where for f, p in zip(frames, predictions, strict=True) if not p.finite]
    return NotFinite(count=len(bad), first=bad[0]) if bad else None


def _advance(bar: Task, before: int, done: int) -> None:
    bar.to(before + done)


def _name(piece: int) -> str:
    return f"predictions-{piece:05d}"
