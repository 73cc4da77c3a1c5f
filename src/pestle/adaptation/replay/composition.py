"""What replay structures are made of, in counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ase.data import chemical_symbols

from pestle.structures.frame import Frame, elements_of, split_isolated_atoms

ElementSet = frozenset[int]


def element_set(frame: Frame) -> ElementSet:
    """Atomic numbers that occur in a frame."""
    return frozenset(frame.numbers.tolist())


def structures_by_element(frames: Sequence[Frame]) -> dict[str, int]:
    """Symbol → structures that hold the element, by atomic number."""
    counts = Counter(z for frame in frames for z in element_set(frame))
    return {chemical_symbols[z]: n for z, n in sorted(counts.items())}


def data_elements(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Elements of the data that replay is matched to, ascending.

    An isolated atom only sets an E0: its element counts if another frame holds it, too.
    """
    rest, isolated = split_isolated_atoms(frames)
    return elements_of(rest or isolated)
