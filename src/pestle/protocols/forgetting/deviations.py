"""Deviations of predictions from a reference, by group and by structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pestle.foundations.prediction import FramePrediction
from pestle.metrics import ALL, errors_by_group, frame_errors
from pestle.protocols.against_labels import forces_rms
from pestle.protocols.forgetting.numbers import GroupErrors, Moved
from pestle.structures.frame import Frame

#: Smallest RMS force (eV/Å) that a deviation is divided by. Structures with smaller forces are near
#: equilibrium: a small deviation is many times the force there, but it is not a loss.
AT_REST = 0.05


def labelled_by(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> list[Frame]:
    """Return the frames with these predictions as labels.

    Args:
        frames: the structures.
        predictions: one for each frame.
    """
    return [
        replace(frame, energy=p.energy, forces=p.forces, stress=p.stress)
        for frame, p in zip(frames, predictions, strict=True)
    ]


def errors_and_shares(
    frames: Sequence[Frame] | None,
    predictions: Sequence[FramePrediction],
    halves: Sequence[str],
) -> dict[str, GroupErrors] | None:
    """Calculate errors by config_type and by half of the generated structures.

    Args:
        frames: frames with the reference as labels; `None` if there is no reference.
        predictions: one for each frame.
        halves: for each frame the half that it belongs to; empty if there are no halves.

    Returns:
        Group → errors; `None` without a reference.
    """
    if frames is None:
        return None
    found = errors_by_group(frames, predictions)
    for half in dict.fromkeys(filter(None, halves)):
        members = [k for k, own in enumerate(halves) if own == half]
        found[half] = frame_errors([frames[k] for k in members], [predictions[k] for k in members])
    sizes = force_sizes(frames, halves)
    shared = {}
    for group, errors in found.items():
        error, size = errors.forces_rmse, sizes[group]
        share = error / size if error is not None and size else None
        shared[group] = GroupErrors(**errors.model_dump(), forces_share=share)
    return shared


def median_error(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> float | None:
    """Return the median over the frames of the force RMSE.

    Args:
        frames: frames with the reference as labels.
        predictions: one for each frame.

    Returns:
        meV/Å; `None` if no frame has forces.
    """
    errors = [
        np.sqrt(np.mean((p.forces - f.forces) ** 2))
        for f, p in zip(frames, predictions, strict=True)
        if f.forces is not None
    ]
    return float(1e3 * np.median(errors)) if errors else None


def loss_of_forces(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> Moved:
    """Calculate how much of the foundation's forces the other potential has lost.

    Args:
        frames: frames with the foundation's forces as labels.
        predictions: of the other potential, one for each frame.
    """
    size, deviation = np.zeros((2, len(frames)))
    for k, (frame, prediction) in enumerate(zip(frames, predictions, strict=True)):
        assert frame.forces is not None
        size[k] = max(AT_REST, np.sqrt(np.mean(frame.forces**2)))
        deviation[k] = np.sqrt(np.mean((prediction.forces - frame.forces) ** 2))
    # The structure is completely lost; no other structure can be worse.
    order = np.where(np.isnan(deviation), np.inf, deviation)
    worst = int(order.argmax())
    return Moved(
        share=float(np.sqrt(np.mean(np.minimum(order / size, 1.0) ** 2))),
        beyond=int((order > size).sum()),
        worst=frames[worst].where,
        worst_forces=float(1e3 * deviation[worst]),
    )


def force_sizes(frames: Sequence[Frame], halves: Sequence[str]) -> dict[str, float | None]:
    """Return the RMS of the force components of each group.

    Args:
        frames: frames with the reference as labels.
        halves: for each frame the half that it belongs to; empty if there are no halves.

    Returns:
        Group → meV/Å; `None` if a group has no forces.
    """
    found = forces_rms(frames)
    for half in dict.fromkeys(filter(None, halves)):
        members = [f for f, own in zip(frames, halves, strict=True) if own == half]
        found[half] = forces_rms(members)[ALL]
    return found
