"""Where molecular dynamics starts from."""

from __future__ import annotations

from collections.abc import Sequence

from pestle.errors import PestleError
from pestle.structures.frame import Frame, evenly, split_isolated_atoms


def movable(frame: Frame) -> bool:
    """Whether it has dynamics to speak of: a single atom has none."""
    return len(frame) > 1


def starting_structures(
    frames: Sequence[Frame], count: int, where: str, fix: str = "Give --data FILES."
) -> list[Frame]:
    """At most `count` of the structures, evenly taken; single atoms do not count.

    Args:
        frames: all that are given.
        count: how many.
        where, fix: of the error.

    Raises:
        PestleError: there is none.
    """
    starts = [frame for frame in split_isolated_atoms(frames)[0] if movable(frame)]
    if not starts:
        atoms = " but single atoms" if frames else ""
        raise PestleError(f"there is no structure{atoms} to start from", where=where, fix=fix)
    return evenly(starts, count)


def default_timestep(frames: Sequence[Frame]) -> float:
    """0.5 fs with hydrogen, 1 fs without: about a twentieth of the fastest vibration's period."""
    return 0.5 if any((frame.numbers == 1).any() for frame in frames) else 1.0
