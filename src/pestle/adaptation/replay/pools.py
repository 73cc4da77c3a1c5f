"""Sources of replay structures: files, published sets, and the generator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from pestle.adaptation.replay.composition import element_set, structures_by_element
from pestle.checks.geometry import sound_frames
from pestle.errors import PestleError, nearest
from pestle.foundations.replay_catalogue import (
    GENERATED,
    fetch_published,
    find_published,
    published_sets,
)
from pestle.progress import progress, say
from pestle.structures.frame import Frame, is_labelled, split_isolated_atoms
from pestle.structures.reading import GLOB_CHARACTERS, LabelKeys, expand_paths, read_frames

#: Files of at least so many bytes are announced, because ASE reads about 5 MB a second.
LARGE = 50_000_000


@dataclass
class Pool:
    """One pool with its usable structures, and counts of those that were left out.

    Attributes:
        name: name given by the user.
        frames: usable structures.
        read: number of structures in the pool.
        note: further information about the pool.
        isolated: isolated atoms left out, because the replay head keeps the foundation's E0s.
        broken: structures left out for NaN, atoms without element or a flat cell.
        unknown: structures left out for elements that the model will not know.
        unknown_by_element: symbol → number of those that contain it (one may contain several).
        unlabelled: structures left out because labels are needed and they have none.
        matched: structures of `frames` that the filter keeps.
        selected: structures of `matched` that were selected.
    """

    name: str
    frames: list[Frame]
    read: int
    note: str = ""
    isolated: int = 0
    broken: int = 0
    unknown: int = 0
    unknown_by_element: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    matched: list[Frame] = field(default_factory=list)
    selected: list[Frame] = field(default_factory=list)

    def keep_selected(self, chosen: Sequence[Frame]) -> None:
        """Store which structures of this pool were selected.

        Args:
            chosen: selected structures of all pools, in the order of selection.
        """
        own = {id(frame) for frame in self.matched}
        self.selected = [frame for frame in chosen if id(frame) in own]

    def line(self) -> str:
        """Return the counts of each stage as text."""
        parts = [f"{self.read} {'made' if self.name == GENERATED else 'read'}"]
        if self.isolated:
            parts.append(f"{self.isolated} isolated atoms left out (they only set E0s)")
        if self.broken:
            parts.append(f"{self.broken} broken ones left out (`pestle check` names them)")
        if self.unknown:
            found = ", ".join(f"{symbol} {n}" for symbol, n in self.unknown_by_element.items())
            parts.append(f"{self.unknown} dropped for elements that the model lacks ({found})")
        if self.unlabelled:
            parts.append(f"{self.unlabelled} without any label dropped")
        parts += [f"{len(self.matched)} match", f"{len(self.selected)} selected"]
        named = f"{self.name} ({self.note})" if self.note else self.name
        return f"pool {named}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and the composition of the selected structures, as plain data."""
        groups = Counter(frame.config_type for frame in self.selected)
        return {
            "pool": self.name,
            "read": self.read,
            "isolated_atoms": self.isolated,
            "broken": self.broken,
            "unknown_elements": self.unknown,
            "unknown_by_element": self.unknown_by_element,
            "unlabelled": self.unlabelled,
            "matched": len(self.matched),
            "selected": len(self.selected),
            "structures_by_element": structures_by_element(self.selected),
            "structures_by_group": dict(groups.most_common()),
        }


def read_pools(names: Sequence[str], keys: LabelKeys | None = None) -> list[Pool]:
    """Read pools that are files, glob patterns or published sets; each file is read only once.

    Args:
        names: the pools.
        keys: label keys of the user's files.

    Raises:
        PestleError: a file or set does not exist, or cannot be read or downloaded.
    """
    pools: list[Pool] = []
    seen: set[Path] = set()
    for name in names:
        published = find_published(name)
        note = ""
        if published is not None:
            paths = [fetch_published(published)]
            note = f"{published.level_of_theory}; licence: {published.licence}"
            note += f"; {published.note}" if published.note else ""
        else:
            _require_file_or_name(name)
            paths = expand_paths([name])
        new = [path for path in paths if path.resolve() not in seen]
        seen.update(path.resolve() for path in new)
        if not new:
            continue
        size = sum(path.stat().st_size for path in new)
        if size > LARGE:
            say(f"reading the pool {name} ({size / 1e6:.0f} MB)")
        # Published sets have ASE's keys, independent of those of the user's files.
        frames = read_frames([str(path) for path in new], None if published else keys).frames
        pools.append(_cleaned(name, frames, note))
    return pools


def _require_file_or_name(name: str) -> None:
    """Raise an error with the known names for a word that is neither a file nor a published set."""
    path = Path(name).expanduser()
    if path.exists() or GLOB_CHARACTERS & set(name) or path.suffix or len(path.parts) > 1:
        return  # the reader says what is wrong with a file
    names = [GENERATED, *(entry.name for entry in published_sets())]
    raise PestleError(
        f"there is no file and no published replay set '{name}'",
        where="replay.pool",
        fix=f"{nearest(name, names)} Give a file or one of {', '.join(names)}.".lstrip(),
    )


def generated_pool(elements: Sequence[int], count: int, seed: int) -> Pool:
    """Generate structures of these elements, without labels.

    Args:
        elements: atomic numbers.
        count: number of structures.
        seed: random seed.
    """
    from pestle.structures.generation import generate

    with progress("generating structures", count) as bar:
        return _cleaned(GENERATED, generate(elements, count, seed, on_progress=bar.to), "")


def _cleaned(name: str, frames: Sequence[Frame], note: str) -> Pool:
    """Return a pool without isolated atoms and broken structures."""
    rest, isolated = split_isolated_atoms(frames)
    sound, _ = sound_frames(rest, None)
    n, n_isolated = len(frames), len(isolated)
    return Pool(name, sound, n, note, isolated=n_isolated, broken=len(rest) - len(sound))


def drop_unknown(pool: Pool, known: Collection[int]) -> None:
    """Remove and count the structures with elements that the model will not know.

    Args:
        pool: the pool; changed in place.
        known: atomic numbers that the model will know.
    """
    allowed, counts = frozenset(known), Counter[int]()
    kept = []
    for frame in pool.frames:
        missing = element_set(frame) - allowed
        counts.update(missing)
        if not missing:
            kept.append(frame)
    pool.unknown = len(pool.frames) - len(kept)
    pool.unknown_by_element = {chemical_symbols[z]: n for z, n in sorted(counts.items())}
    pool.frames = kept


def drop_unlabelled(pool: Pool) -> None:
    """Remove and count the structures without energy, forces and stress."""
    kept = [f for f in pool.frames if is_labelled(f)]
    pool.unlabelled = len(pool.frames) - len(kept)
    pool.frames = kept
