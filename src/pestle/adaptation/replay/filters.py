"""Which structures of a pool match the elements of the data (paper, section 2.5).

The names but `element` are mace-torch's (`mace.cli.fine_tuning_select.filter_atoms`), and each
keeps the very frames that mace's does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pestle.adaptation.replay.composition import ElementSet, element_set
from pestle.structures.frame import Frame


def _within(found: ElementSet, wanted: ElementSet) -> bool:
    return found <= wanted


#: name → whether a structure with the elements `found` matches data with the elements `wanted`.
FILTERS: dict[str, Callable[[ElementSet, ElementSet], bool]] = {
    "element": _within,
    "combinations": _within,
    "exclusive": lambda found, wanted: found == wanted,
    "inclusive": lambda found, wanted: found >= wanted,
    "none": lambda found, wanted: True,
}
#: What each keeps, in words.
MEANINGS = {
    "element": "structures of no other elements than the data's",
    "combinations": "structures of no other elements than the data's",
    "exclusive": "structures of exactly the data's elements",
    "inclusive": "structures that hold all of the data's elements",
    "none": "structures of any elements",
}


def matching(frames: Sequence[Frame], wanted: Collection[int], name: str) -> list[Frame]:
    """The frames that a filter keeps, in their order.

    Args:
        frames: of a pool.
        wanted: atomic numbers of the data.
        name: of the filter, a key of `FILTERS`.
    """
    keeps, elements = FILTERS[name], frozenset(wanted)
    return [frame for frame in frames if keeps(element_set(frame), elements)]


def count_matching(frames: Sequence[Frame], wanted: Collection[int]) -> dict[str, int]:
    """How many frames each filter keeps; filters that are one and the same appear once."""
    elements, sets = frozenset(wanted), [element_set(frame) for frame in frames]
    return {
        name: sum(keeps(found, elements) for found in sets)
        for name, keeps in FILTERS.items()
        if name != "combinations"
    }
