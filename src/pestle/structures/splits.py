"""Training, validation and test frames, from given files or by a seeded split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pestle.errors import PestleError
from pestle.settings.data import DataSettings
from pestle.structures.copies import same_groups
from pestle.structures.dispersion import D3, without_dispersion
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.pairs import bonded_pairs
from pestle.structures.readers import Notes
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection
from pestle.structures.soundness import is_sound
from pestle.wording import counted

#: Text for messages: how to train without validation, and the consequences.
WITHOUT = (
    "train without validation, --set data.valid_fraction=0: the last model is kept, nothing ends "
    "the run early, and no error is on unseen frames"
)


class NothingToHoldOut(PestleError):
    """The frames leave none for validation."""


@dataclass
class Splits:
    """The frames of a run. Isolated atoms from training and validation files are separate.

    Attributes:
        train: training frames.
        valid: validation frames.
        test: test frames.
        isolated: isolated atoms.
        keys: name of the set → label → key → number of labels that were read under it.
        held_out: whether the validation frames were split off from the training files.
        n_train_given: number of training frames from which `train` was drawn.
        notes: notes of the readers.
        old_tests: name of the set → test frames of a continued run.
    """

    train: list[Frame] = field(default_factory=list)
    valid: list[Frame] = field(default_factory=list)
    test: list[Frame] = field(default_factory=list)
    isolated: list[Frame] = field(default_factory=list)
    keys: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    held_out: bool = False
    n_train_given: int = 0
    notes: Notes = field(default_factory=Notes)
    old_tests: dict[str, list[Frame]] = field(default_factory=dict)

    def named(self) -> dict[str, list[Frame]]:
        """Return name of the set → frames, without empty sets; isolated atoms belong to `train`."""
        splits = {"train": [*self.train, *self.isolated], "valid": self.valid, "test": self.test}
        splits |= self.old_tests
        return {name: frames for name, frames in splits.items() if frames}


def read_splits(data: DataSettings) -> Splits:
    """Read and split the data of a run.

    Args:
        data: files, keys, selection, and the fraction of validation frames with its seed.

    Returns:
        The frames.

    Raises:
        PestleError: there is no training file, there are too few frames to split, or a selection
            leaves a set empty.
    """
    if not data.train:
        raise PestleError(
            "no training data given", where="data.train", fix="Give --data FILE or data.train."
        )
    keys = LabelKeys(data.energy_key, data.forces_key, data.stress_key, data.virials_key)
    selection = Selection.of(data.select)
    correction = correction_of(data)
    splits = Splits()
    files = {"train": data.train, "valid": data.valid, "test": data.test}
    readings = {name: read_frames(given, keys) for name, given in files.items() if given}
    selection.require([frame for reading in readings.values() for frame in reading.frames])
    for name, reading in readings.items():
        splits.keys[name] = reading.key_counts()
        splits.notes.add(reading.notes)
        frames = selection.keep(reading.frames)
        if not frames:
            raise PestleError("none of its frames is selected", where=f"data.{name}")
        if correction is not None:
            frames = without_dispersion(frames, correction)
        if name == "test":
            splits.test = frames
            continue
        rest, isolated = split_isolated_atoms(frames)
        setattr(splits, name, rest)
        # Isolated atoms define E0s, so that those of validation files are used for training, too.
        splits.isolated = distinct_atoms([*splits.isolated, *isolated])
    if data.no_validation:
        if not splits.train:
            raise PestleError("no frames besides isolated atoms", where="data.train")
    elif not data.valid:
        splits.train, splits.valid = hold_out(splits.train, data.valid_fraction, data.split_seed)
        splits.held_out = True
    splits.n_train_given = len(splits.train)
    if data.takes_subset:
        splits.train = subset(splits.train, data)
    return splits


def subset(frames: list[Frame], data: DataSettings) -> list[Frame]:
    """Draw a part of the training frames; what is drawn for fewer frames lies in what is drawn
    for more.

    Args:
        frames: all training frames.
        data: the fraction or count, and the seed of the draw.

    Returns:
        The frames drawn, in the order of the file.

    Raises:
        PestleError: both a fraction and a count are given, or there are not so many frames.
    """
    if data.train_fraction is not None and data.train_count is not None:
        raise PestleError(
            "data.train_fraction and data.train_count both say how many frames to train on",
            where="data.train_count",
            fix="Leave out one of them.",
        )
    if data.train_count is not None and data.train_count > len(frames):
        raise PestleError(
            f"{counted(data.train_count, 'frame')} asked for, "
            f"{counted(len(frames), 'frame')} left for training",
            where="data.train_count",
        )
    count = data.train_count or max(1, round((data.train_fraction or 1) * len(frames)))
    # The beginning of one permutation: fewer frames are always among more.
    order = np.random.default_rng(data.subset_seed).permutation(len(frames))
    return [frames[k] for k in sorted(order[:count].tolist())]


def correction_of(data: DataSettings) -> D3 | None:
    """Return the D3 correction to subtract from the labels; `None` if there is none.

    Raises:
        PestleError: the settings say that the labels contain none, or it cannot be calculated.
    """
    if data.subtract_dispersion is None:
        return None
    if data.dispersion == "none":
        raise PestleError(
            "data.dispersion=none says that there is none to take away",
            where="data.subtract_dispersion",
            fix="Leave out one of them.",
        )
    return D3.of(data.subtract_dispersion)


def hold_out(frames: list[Frame], fraction: float, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Split frames at random into training and validation, both in the order of the file.

    Args:
        frames: the frames.
        fraction: fraction of validation frames, 0 to 1.
        seed: seed of the split.

    Returns:
        Training frames and validation frames.

    Raises:
        NothingToHoldOut: there are fewer than two frames, or only copies of one structure.
    """
    if len(frames) < 2:
        raise NothingToHoldOut(
            f"{'one frame' if frames else 'no frames'} besides isolated atoms: none can be held "
            "out for validation",
            where="data.train",
            fix="Give a validation file (data.valid) or more frames"
            + (f"; or {WITHOUT}." if frames else "."),
        )
    count = min(max(1, round(fraction * len(frames))), len(frames) - 1)
    chosen: set[int] = set()
    copies = _copies(frames)
    for k in np.random.default_rng(seed).permutation(len(frames)).tolist():
        # All copies of a structure go to one set, so that validation frames are not trained on.
        if len(chosen) < count and len(copies.get(k, [k])) < len(frames):
            chosen.update(copies.get(k, [k]))
    if not chosen or len(chosen) == len(frames):
        raise NothingToHoldOut(
            "all frames show the same structure: none can be held out for validation",
            where="data.train",
            fix=f"Give a validation file (data.valid); or {WITHOUT}.",
        )
    train = [f for k, f in enumerate(frames) if k not in chosen]
    return train, [f for k, f in enumerate(frames) if k in chosen]


def _copies(frames: Sequence[Frame]) -> dict[int, list[int]]:
    """Return index of a frame → indices of all copies of its structure, if there are any."""
    sound = [frame for frame in frames if is_sound(frame)]  # the checks report the others
    index = {id(frame): k for k, frame in enumerate(frames)}
    groups = same_groups(sound, [bonded_pairs(frame) for frame in sound])
    members = [[index[id(sound[j])] for j in group] for group in groups]
    return {k: group for group in members for k in group}


def distinct_atoms(frames: Sequence[Frame]) -> list[Frame]:
    """Return isolated atoms without repetitions of element, energy and head."""
    seen: dict[tuple, Frame] = {}
    for frame in frames:
        seen.setdefault((int(frame.numbers[0]), frame.energy, frame.head), frame)
    return list(seen.values())
