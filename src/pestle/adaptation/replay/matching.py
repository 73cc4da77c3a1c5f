"""Which structures of a pool fit the data and the model: the filter of a run, and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ase.data import chemical_symbols

from pestle.adaptation.replay import filters
from pestle.adaptation.replay.pools import Pool, drop_unknown, drop_unlabelled
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.settings.run import ReplaySettings

Scope = Literal["narrow", "broad"] | None


@dataclass(frozen=True)
class Matching:
    """Filter and elements of a replay set.

    Attributes:
        filter: key of `filters.FILTERS`.
        reason: why this filter.
        wanted: atomic numbers of the data.
        known: those that the model will know; `None` if that is not known.
        model: what the foundation is called; `None` without one.
    """

    filter: str
    reason: str
    wanted: frozenset[int]
    known: frozenset[int] | None
    model: str | None

    def apply(self, pool: Pool, need_labels: bool) -> None:
        """Leave out of a pool, and count, what the model will not know, what lacks labels that are
        needed, and what does not match."""
        if self.known is not None:
            drop_unknown(pool, self.known)
        if need_labels:
            drop_unlabelled(pool)
        pool.matched = filters.matching(pool.frames, self.wanted, self.filter)

    def elements_to_generate(self) -> tuple[int, ...]:
        """Elements of generated structures: the data's; with the filter none all that the model
        will know.

        Raises:
            PestleError: there is none.
        """
        if self.filter == "none" and self.known is not None:
            found = self.known
        else:
            found = self.wanted if self.known is None else self.wanted & self.known
        if not found:
            raise PestleError(
                "there is no element to generate structures of",
                where="replay.pool",
                fix="Give --data with elements that the foundation knows.",
            )
        return tuple(sorted(found))

    def line(self) -> str:
        """The filter in words."""
        data = f" ({_symbols(self.wanted)})" if self.filter != "none" else ""
        unchecked = "" if self.model else "; not compared with any foundation's elements"
        meaning = filters.MEANINGS[self.filter]
        return f"filter {self.filter} ({self.reason}): {meaning}{data}{unchecked}"

    def alternatives(self, pools: Sequence[Pool]) -> str:
        """What each filter would leave of these pools."""
        frames = [frame for pool in pools for frame in pool.frames]
        if not frames:
            return "No filter would change that: see the counts."
        counts = filters.count_matching(frames, self.wanted)
        kept = ", ".join(f"{name} {count}" for name, count in counts.items())
        return (
            f"With the data's elements ({_symbols(self.wanted)}) the filter is {self.filter}; of "
            f"{len(frames)} structures each filter would leave: {kept}."
        )


def matching_of(
    settings: ReplaySettings,
    data_elements: Sequence[int],
    foundation: Foundation | None,
    scope: Scope,
    elements_kept: str,
) -> Matching:
    """The filter of a run: the one asked for, else by what the model is for.

    Raises:
        PestleError: a filter that needs the data's elements, and there are no data.
    """
    wanted = frozenset(int(z) for z in data_elements)
    known = None if foundation is None else frozenset(foundation.elements)
    if elements_kept == "data":
        known = wanted if known is None else known & wanted
    name, reason = _filter(settings, scope, elements_kept)
    if name != "none" and not wanted:
        raise PestleError(
            f"the filter {name} needs the elements of the data, and there are no data",
            where="replay.filter",
            fix="Give --data, or --filter none.",
        )
    model = foundation.provenance.name if foundation is not None else None
    return Matching(name, reason, wanted, known, model)


def _filter(settings: ReplaySettings, scope: Scope, elements_kept: str) -> tuple[str, str]:
    if settings.filter is not None:
        return settings.filter, "asked for"
    if elements_kept == "data":
        return "element", "the model keeps the data's elements only"
    if scope == "broad":
        return "none", "the scope is broad and the model keeps all its elements"
    return "element", "the paper's matching; none is the default of a broad scope"


def _symbols(elements: frozenset[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in sorted(elements)) or "none"
