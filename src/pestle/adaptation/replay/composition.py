"""Elements of replay structures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ase.data import chemical_symbols

from pestle.structures.frame import Frame, elements_of, split_isolated_atoms

ElementSet = frozenset[int]


def element_set(frame: Frame) -> ElementSet:
    """Return the atomic numbers that occur in a frame."""
    return frozenset(frame.numbers.tolist())


def structures_by_element(frames: Sequence[Frame]) -> dict[str, int]:
    """Return symbol → number of structures with this element, by atomic number."""
    counts = Counter(z for frame in frames for z in element_set(frame))
    return {chemical_symbols[z]: n for z, n in sorted(counts.items())}


def data_elements(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Return the elements of the data to which replay structures are matched, in ascending order.

    An isolated atom only sets an E0. Its element counts only if another frame contains it.

    Args:
        frames: frames of the data.
    """
    rest, isolated = split_isolated_atoms(frames)
    return elements_of(rest or isolated)
