"""A replay set: pools, element filter, selection, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pestle.adaptation.replay.composition import structures_by_element
from pestle.adaptation.replay.label_fit import LabelFit, label_fits, misfit_warnings
from pestle.adaptation.replay.matching import Matching, Scope, matching_of
from pestle.adaptation.replay.pools import Pool, generated_pool, read_pools
from pestle.adaptation.replay.selection import Selector
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.replay_catalogue import GENERATED
from pestle.settings.run import ReplaySettings
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.reading import LabelKeys
from pestle.views import Shown

#: Structures selected where the user gives no count; the paper's sets hold 196 to 39,459 (A.3).
DEFAULT_COUNT = 1000
# Generated structures where the user gives no count: so many for each element, and at least so
# many. The cost is their labels: a label takes about a third of an update on one structure, so that
# 300 cost as much as two epochs of 60 frames. An epoch takes no longer with more of them.
GENERATED_PER_ELEMENT, MIN_GENERATED = 10, 300
# Farthest points and `element-balanced` choose among so many times more generated structures than
# are kept.
CANDIDATES = 3


@dataclass(repr=False)
class ReplaySet(Shown):
    """Structures for the replay head.

    Attributes:
        frames: the structures; `None` for a label that one lacks. Generated ones last; in the order
            of the pools, or with farthest points and `element-balanced` as they were chosen.
        pools: counts of each pool at every stage, and its structures that were selected.
        matching: filter and elements.
        select: how they were chosen.
        label_fits: labels against the foundation, where labels are needed.
        notes: how the set was made, with counts, one line each.
        warnings: one line each, with the way out.
    """

    frames: list[Frame]
    pools: list[Pool]
    matching: Matching
    select: str
    label_fits: list[LabelFit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<ReplaySet: {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """The size of the set, how it was made, and warnings."""
        headline = f"{len(self.frames)} structures, selected by {self.select}"
        return [headline, *self.notes, *(f"warning: {text}" for text in self.warnings)]

    def to_json(self) -> dict[str, Any]:
        """Counts, composition, notes and warnings as plain data."""
        return {
            "count": len(self.frames),
            "labelled": sum(is_labelled(f) for f in self.frames),
            "filter": self.matching.filter,
            "select": self.select,
            "structures_by_element": structures_by_element(self.frames),
            "pools": [pool.to_json() for pool in self.pools],
            "notes": self.notes,
            "warnings": self.warnings,
        }


def make_replay_set(
    settings: ReplaySettings,
    *,
    data_elements: Sequence[int],
    foundation: Foundation | None,
    head: str | None = None,
    seed: int = 0,
    scope: Scope = None,
    elements_kept: str = "all",
    need_labels: bool = False,
    keys: LabelKeys | None = None,
    max_edges: int | None = None,
) -> ReplaySet:
    """Read the pools, leave out what does not fit, select.

    Of several pools, `generated` contributes its share of the count (one part in the number of
    pools, more where the others hold too few); the rest is chosen over the union of the others.

    Args:
        settings: pool, count, filter, select; an empty pool means `generated` unless labels are
            needed.
        data_elements: atomic numbers of the data.
        foundation: the model whose knowledge is replayed, with its own E0s; bounds the elements.
            `None`: nothing is compared with it, and `fps` is not possible.
        head: its head.
        seed: of the generator, the selection and the sample of labels.
        scope: what the model is for; decides the filter where the settings leave it open.
        elements_kept: `data` if the model will know the data's elements only, else `all`.
        need_labels: whether the pools' own labels will be trained on.
        keys: label keys of pools that are files.
        max_edges: edges per batch of whatever is predicted.

    Raises:
        PestleError: no pool, nothing left of it, labels needed where there are none, or a file that
            cannot be read.
    """
    names = _pool_names(settings, need_labels)
    selector = Selector(settings.select, foundation, head, seed, max_edges)
    matching = matching_of(settings, data_elements, foundation, scope, elements_kept)
    made_of = matching.elements_to_generate() if GENERATED in names else ()

    pools = read_pools([name for name in names if name != GENERATED], keys)
    for pool in pools:
        matching.apply(pool, need_labels)
    if not any(pool.frames for pool in pools) and any(pool.unlabelled for pool in pools):
        raise _no_labels(", ".join(names), pools)

    union = [frame for pool in pools for frame in pool.matched]
    asked = settings.count or DEFAULT_COUNT
    share = _generated_share(settings.count, len(names), len(made_of))
    frames = selector.choose(union, asked - share)
    if share:
        if settings.count:
            share = max(share, asked - len(frames))  # what the others lack is made up for
        pools.append(generated_pool(made_of, share * (CANDIDATES if selector.ranks else 1), seed))
        matching.apply(pools[-1], need_labels=False)
        frames = frames + selector.choose(pools[-1].matched, share)
    for pool in pools:
        pool.keep_selected(frames)
    if not frames:
        raise _nothing_left(pools, matching)

    made = ReplaySet(frames, pools, matching, settings.select)
    made.notes = _notes(made, selector, settings.count)
    made.warnings = [
        f"nothing is left of {pool.line()}. {matching.alternatives([pool])}"
        for pool in pools
        if not pool.matched
    ]
    if need_labels and foundation is not None:
        compare_labels(made, foundation, head, seed, max_edges)
    return made


def _pool_names(settings: ReplaySettings, need_labels: bool) -> list[str]:
    """The pools, each once; `generated` where none was named and no labels are needed."""
    names = list(dict.fromkeys(settings.pool))
    if not need_labels:
        return names or [GENERATED]
    if not names:
        raise PestleError(
            "no replay pool was named, and original labels are needed",
            where="replay.pool",
            fix="Name labelled structures (--set replay.pool=FILE), or choose the method "
            "pseudolabel, which labels generated structures itself.",
        )
    if GENERATED in names:
        raise PestleError(
            "generated structures have no labels, and original labels are needed",
            where="replay.pool",
            fix="Choose the method pseudolabel, or pools with labels only.",
        )
    return names


def _generated_share(count: int | None, n_pools: int, n_elements: int) -> int:
    """Structures to generate: none without elements to do so, at least one with them."""
    if not n_elements:
        return 0
    share = max(1, (count or DEFAULT_COUNT) // n_pools)
    default = max(GENERATED_PER_ELEMENT * n_elements, MIN_GENERATED)
    return share if count else min(share, default)


def _no_labels(names: str, pools: Sequence[Pool]) -> PestleError:
    count = sum(pool.unlabelled for pool in pools)
    return PestleError(
        f"none of its {count} structures has energy, forces or stress, and original labels are "
        "needed",
        where=names,
        fix="Choose the method pseudolabel, which labels them with the foundation; if there are "
        "labels under other keys, rename them to REF_energy, REF_forces and REF_stress.",
    )


def _nothing_left(pools: Sequence[Pool], matching: Matching) -> PestleError:
    return PestleError(
        f"no structure is left for replay ({'; '.join(pool.line() for pool in pools)})",
        where="replay.pool",
        fix=f"{matching.alternatives(pools)} Or add a pool, such as {GENERATED}.",
    )


def _notes(made: ReplaySet, selector: Selector, count: int | None) -> list[str]:
    """How the set was made, stage by stage."""
    found, selected = sum(len(pool.matched) for pool in made.pools), len(made.frames)
    notes = [pool.line() for pool in made.pools]
    notes += [made.matching.line(), selector.line(found, selected)]
    if count is None and selector.name != "all":
        notes.append(
            f"count (default): {DEFAULT_COUNT}, or all where there are fewer; of {GENERATED} "
            f"{GENERATED_PER_ELEMENT} for each element, at least {MIN_GENERATED}"
        )
    elif count is not None and selector.name == "all":
        notes.append(f"count {count} not used: all were taken")
    elif count is not None and selected < count:
        notes.append(f"count {count} was asked for, but no more are left: all {selected} taken")
    own = len(made.pools[-1].selected)
    if made.pools[-1].name == GENERATED and len(made.pools) > 1:
        notes.append(
            f"{GENERATED} contributes {own}, the union of the other pools {selected - own}"
        )
    return notes


def compare_labels(
    made: ReplaySet,
    foundation: Foundation,
    head: str | None,
    seed: int,
    max_edges: int | None,
) -> None:
    """Add what the labels of a set look like against the foundation, warnings included.

    Args:
        made: a labelled set.
        foundation: with the E0s that the replay head will have.
        head: its head.
        seed: of the sample.
        max_edges: edges per batch; by default the model's `edges_at_once`.
    """
    labelled = {pool.name: pool.selected for pool in made.pools}
    made.label_fits = label_fits(labelled, foundation, head=head, seed=seed, max_edges=max_edges)
    made.notes += [fit.line() for fit in made.label_fits]
    made.warnings += misfit_warnings(made.label_fits, foundation.provenance.name)
