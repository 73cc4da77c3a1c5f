"""Filters for structures of a pool by the elements of the data (paper, section 2.5).

All names except `element` are those of mace-torch (`mace.cli.fine_tuning_select.filter_atoms`).
Each filter keeps exactly the same frames as mace's.
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
#: Meaning of each filter, in words.
MEANINGS = {
    "element": "structures of no other elements than the data's",
    "combinations": "structures of no other elements than the data's",
    "exclusive": "structures of exactly the data's elements",
    "inclusive": "structures that hold all of the data's elements",
    "none": "structures of any elements",
}


def matching(frames: Sequence[Frame], wanted: Collection[int], name: str) -> list[Frame]:
    """Return the frames that a filter keeps, in their order.

    Args:
        frames: frames of a pool.
        wanted: atomic numbers of the data.
        name: name of the filter, a key of `FILTERS`.
    """
    keeps, elements = FILTERS[name], frozenset(wanted)
    return [frame for frame in frames if keeps(element_set(frame), elements)]


def count_matching(frames: Sequence[Frame], wanted: Collection[int]) -> dict[str, int]:
    """Count the frames that each filter keeps; filters with the same meaning appear once.

    Args:
        frames: frames of a pool.
        wanted: atomic numbers of the data.

    Returns:
        Name of the filter → number of frames.
    """
    elements, sets = frozenset(wanted), [element_set(frame) for frame in frames]
    return {
        name: sum(keeps(found, elements) for found in sets)
        for name, keeps in FILTERS.items()
        if name != "combinations"
    }
