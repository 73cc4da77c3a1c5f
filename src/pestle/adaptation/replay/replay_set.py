"""A replay set: pools, element filter and selection, with counts of each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pestle.adaptation.replay.composition import structures_by_element
from pestle.adaptation.replay.label_fit import LabelFit, label_fits, misfit_warnings
from pestle.adaptation.replay.matching import Matching, matching_of
from pestle.adaptation.replay.pools import Pool, generated_pool, read_pools
from pestle.adaptation.replay.selection import Selector
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.replay_catalogue import GENERATED
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.scope import Scope
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.reading import LabelKeys
from pestle.views import Shown
from pestle.wording import counted

#: Default number of selected structures; the paper's sets contain 196 to 39,459 (A.3).
DEFAULT_COUNT = 1000
# Default number of generated structures: so many for each element, and at least so many. Their cost
# are the labels: one takes about a third of an update on one structure, so that 300 cost as much as
# two epochs of 60 frames. More structures do not make an epoch longer.
GENERATED_PER_ELEMENT, MIN_GENERATED = 10, 300
# For farthest points and `element-balanced`, so many times more structures are generated than are
# kept.
CANDIDATES = 3


@dataclass(repr=False)
class ReplaySet(Shown):
    """Structures for the replay head.

    Attributes:
        frames: the structures. Generated ones come last. The others are in the order of the pools
            or, with farthest points and `element-balanced`, in the order of selection.
        pools: the pools, with their counts and selected structures.
        matching: filter and elements.
        select: the way of selection.
        label_fits: comparison of labels with the foundation, if labels are needed.
        notes: how the set was made, with counts, one line each.
        warnings: one line each, with a way out.
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
        headline = f"{counted(len(self.frames), 'structure')}, selected by {self.select}"
        return [headline, *self.notes, *(f"warning: {text}" for text in self.warnings)]

    def to_json(self) -> dict[str, Any]:
        """Return counts, composition, notes and warnings as plain data."""
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
    scope: Scope | None = None,
    elements_kept: str = "all",
    need_labels: bool = False,
    keys: LabelKeys | None = None,
    max_edges: int | None = None,
) -> ReplaySet:
    """Read the pools, leave out what does not fit, and select structures.

    With several pools, `generated` contributes an equal part of the count, and more if the others
    contain too few structures. The rest is selected from all other pools together.

    Args:
        settings: pool, count, filter and selection; an empty pool means `generated`, unless labels
            are needed.
        data_elements: atomic numbers of the data.
        foundation: the model that is replayed, with its own E0s; limits the elements. With `None`
            nothing is compared with it, and `fps` is not possible.
        head: head of the foundation.
        seed: seed of the generator, the selection and the sample of labels.
        scope: purpose of the model; determines the filter if the settings do not.
        elements_kept: `data` if the model will only know the elements of the data, otherwise `all`.
        need_labels: whether the model will be trained on the labels of the pools.
        keys: label keys of pools that are files.
        max_edges: largest number of edges in a batch of predictions.

    Returns:
        The replay set.

    Raises:
        PestleError: there is no pool, no structure is left, needed labels are missing, or a file
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
            share = max(share, asked - len(frames))  # more if the other pools have too few
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
    """Return each pool once; `generated` if none was named and no labels are needed."""
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
    """Return the number of structures to generate: 0 without elements, otherwise at least 1."""
    if not n_elements:
        return 0
    share = max(1, (count or DEFAULT_COUNT) // n_pools)
    default = max(GENERATED_PER_ELEMENT * n_elements, MIN_GENERATED)
    return share if count else min(share, default)


def _no_labels(names: str, pools: Sequence[Pool]) -> PestleError:
    count = sum(pool.unlabelled for pool in pools)
    return PestleError(
        f"none of its {counted(count, 'structure')} has energy, forces or stress, and original "
        "labels are needed",
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
    """Return how the set was made, stage by stage."""
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
    """Compare the labels of a set with the foundation, and add notes and warnings to the set.

    Args:
        made: a labelled set; changed in place.
        foundation: the foundation, with the E0s that the replay head will have.
        head: head of the foundation.
        seed: seed of the sample.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
    """
    labelled = {pool.name: pool.selected for pool in made.pools}
    made.label_fits = label_fits(labelled, foundation, head=head, seed=seed, max_edges=max_edges)
    made.notes += [fit.line() for fit in made.label_fits]
    made.warnings += misfit_warnings(made.label_fits, foundation.provenance.name)
