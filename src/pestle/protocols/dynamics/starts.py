"""Starting structures and time step of molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence

from pestle.errors import PestleError
from pestle.structures.frame import Frame, evenly, split_isolated_atoms


def movable(frame: Frame) -> bool:
    """Whether molecular dynamics of the frame makes sense: it does not for a single atom."""
    return len(frame) > 1


def starting_structures(
    frames: Sequence[Frame], count: int, where: str, fix: str = "Give --data FILES."
) -> list[Frame]:
    """Choose evenly spaced starting structures; single atoms are left out.

    Args:
        frames: all given structures.
        count: largest number of structures.
        where, fix: place and advice in the error message.

    Returns:
        At most `count` structures.

    Raises:
        PestleError: there is no structure with two or more atoms.
    """
    starts = [frame for frame in split_isolated_atoms(frames)[0] if movable(frame)]
    if not starts:
        atoms = " but single atoms" if frames else ""
        raise PestleError(f"there is no structure{atoms} to start from", where=where, fix=fix)
    return evenly(starts, count)


def default_timestep(frames: Sequence[Frame]) -> float:
    """Return the default time step: 0.5 fs with hydrogen, 1 fs without.

    This is about a twentieth of the period of the fastest vibration.
    """
    return 0.5 if any((frame.numbers == 1).any() for frame in frames) else 1.0
