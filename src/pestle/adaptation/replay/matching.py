"""Choice of the replay filter of a run, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase.data import chemical_symbols

from pestle.adaptation.replay import filters
from pestle.adaptation.replay.pools import Pool, drop_unknown, drop_unlabelled
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.scope import Scope


@dataclass(frozen=True)
class Matching:
    """Filter and elements of a replay set.

    Attributes:
        filter: name of the filter, a key of `filters.FILTERS`.
        reason: why this filter is used.
        wanted: atomic numbers of the data.
        known: atomic numbers that the model will know; `None` if unknown.
        model: name of the foundation; `None` without one.
    """

    filter: str
    reason: str
    wanted: frozenset[int]
    known: frozenset[int] | None
    model: str | None

    def apply(self, pool: Pool, need_labels: bool) -> None:
        """Remove unusable structures from a pool, count them, and apply the filter.

        Unusable structures contain elements that the model will not know, or lack labels that are
        needed.

        Args:
            pool: the pool; changed in place.
            need_labels: whether labels are needed.
        """
        if self.known is not None:
            drop_unknown(pool, self.known)
        if need_labels:
            drop_unlabelled(pool)
        pool.matched = filters.matching(pool.frames, self.wanted, self.filter)

    def elements_to_generate(self) -> tuple[int, ...]:
        """Return the elements for generated structures.

        These are the elements of the data; with the filter `none` all elements that the model will
        know.

        Raises:
            PestleError: there is no such element.
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
        """Return the filter as text."""
        data = f" ({_symbols(self.wanted)})" if self.filter != "none" else ""
        unchecked = "" if self.model else "; not compared with any foundation's elements"
        meaning = filters.MEANINGS[self.filter]
        return f"filter {self.filter} ({self.reason}): {meaning}{data}{unchecked}"

    def alternatives(self, pools: Sequence[Pool]) -> str:
        """Return as text how many structures each filter would keep of these pools."""
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
    scope: Scope | None,
    elements_kept: str,
) -> Matching:
    """Return the filter of a run: the requested one, otherwise one that fits the scope.

    Args:
        settings: replay settings.
        data_elements: atomic numbers of the data.
        foundation: the foundation; `None` if there is none.
        scope: purpose of the model; `None` if unknown.
        elements_kept: `data` if the model keeps only the elements of the data, otherwise `all`.

    Raises:
        PestleError: the filter needs the elements of the data, and there are no data.
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


def _filter(settings: ReplaySettings, scope: Scope | None, elements_kept: str) -> tuple[str, str]:
    if settings.filter is not None:
        return settings.filter, "asked for"
    if elements_kept == "data":
        return "element", "the model keeps the data's elements only"
    if scope == "broad":
        return "none", "the scope is broad and the model keeps all its elements"
    return "element", "the paper's matching; none is the default of a broad scope"


def _symbols(elements: frozenset[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in sorted(elements)) or "none"
