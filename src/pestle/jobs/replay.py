"""`pestle replay`: select a replay set from pools for the elements of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from pestle.adaptation.replay import ReplaySet, data_elements, make_replay_set
from pestle.adaptation.replay.filters import FILTERS
from pestle.adaptation.replay.selection import SELECTIONS
from pestle.errors import PestleError, nearest
from pestle.files import OneOrMore, each_of
from pestle.locks import locked_file
from pestle.records.folder import require_file
from pestle.settings.adaptation import ReplaySettings
from pestle.settings.scope import Scope
from pestle.structures.frame import Frame
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.writing import write_frames

#: Keys of a frame in the file: its pool, and its number in the pool.
POOL_KEY, FRAME_KEY = "replay_pool", "replay_frame"


def replay(
    pool: OneOrMore,
    data: OneOrMore = (),
    *,
    out: Path | str,
    foundation: str | None = None,
    head: str | None = None,
    trust: bool = False,
    count: int | None = None,
    filter: str | None = None,
    select: str = "random",
    seed: int = 0,
    scope: Scope | None = None,
    labelled: bool = False,
    keys: LabelKeys | None = None,
) -> ReplaySet:
    """Select replay structures and write them as extended XYZ with the labels they have.

    >>> pestle.replay(["pool.xyz"], ["frames.xyz"], out="replay.xyz", count=500)

    Args:
        pool: file or glob, or several, names of published sets, or `generated`.
        data: file or glob, or several, of the data; their elements are matched.
        out: file to write; `replay_pool` and `replay_frame` of each frame say where it is from.
        foundation: model that must know all elements of the set; needed for `fps`.
        head: head of the foundation.
        trust: allow a `.model` file.
        count: number of structures to select; by default 1000 or all of a smaller pool.
        filter: element, combinations, exclusive, inclusive or none; by default none for a broad
            scope, else element.
        select: random, fps, fps-per-edge, element-balanced or all.
        seed: seed of generator and selection.
        scope: what the model will be used for: narrow or broad.
        labelled: keep only labelled structures (for multihead), and compare their labels with the
            foundation's predictions.
        keys: label keys of the pools that are files.

    Returns:
        The selected structures, and how the set was made.

    Raises:
        PestleError: no structure is suitable, or a file cannot be read or written.
    """
    pool, data = each_of(pool), each_of(data)
    settings = _settings(pool, count, filter, select)
    if scope not in (None, "narrow", "broad"):
        raise PestleError(f"unknown scope '{scope}'", where="scope", fix="narrow or broad.")
    path = Path(out).expanduser()
    if path.suffix.lower() not in (".xyz", ".extxyz"):
        raise PestleError("is not called .xyz or .extxyz", where=str(path), fix="Rename -o.")
    require_file(path)
    if path.resolve() in {Path(name).expanduser().resolve() for name in (*pool, *data)}:
        raise PestleError("is also read from", where=str(path), fix="Give another -o FILE.xyz.")
    with locked_file(path):
        elements = data_elements(read_frames(data).frames) if data else ()
        model = None
        if foundation is not None:
            from pestle.foundations import load_foundation
            from pestle.foundations.devices import find_device

            model = load_foundation(foundation, trust=trust).to(find_device("auto"))
            head = model.heads[model.head_index(head)]
        made = make_replay_set(
            settings,
            data_elements=elements,
            foundation=model,
            head=head,
            seed=seed,
            scope=scope,
            need_labels=labelled,
            keys=keys,
        )
        pools = {id(frame): used.name for used in made.pools for frame in used.selected}
        write_frames(path, (_with_origin(frame, pools[id(frame)]) for frame in made.frames))
        return made


def _settings(
    pool: Sequence[str], count: int | None, filter: str | None, select: str
) -> ReplaySettings:
    """Return the settings after a check of the names.

    Raises:
        PestleError: the filter or the selection is unknown, or the count is below one.
    """
    if filter is not None and filter not in FILTERS:
        hint = (
            f" '{filter}' is a selection: --select {filter}."
            if filter in SELECTIONS
            else nearest(filter, FILTERS)
        )
        raise PestleError(
            f"unknown filter '{filter}'",
            where="--filter",
            fix=f"{hint} The filters are {', '.join(FILTERS)}.".strip(),
        )
    if select not in SELECTIONS:
        hint = (
            f" '{select}' is a filter: --filter {select}."
            if select in FILTERS
            else nearest(select, SELECTIONS)
        )
        raise PestleError(
            f"unknown selection '{select}'",
            where="--select",
            fix=f"{hint} The selections are {', '.join(SELECTIONS)}.".strip(),
        )
    values = {"pool": list(pool), "count": count, "filter": filter, "select": select}
    try:
        return ReplaySettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise PestleError(
            f"{first['msg'].lower()}, got {first['input']!r}", where=f"--{name}"
        ) from None


def _with_origin(frame: Frame, pool: str) -> Frame:
    """Return a copy of a frame that names its pool."""
    atoms = frame.atoms.copy()
    atoms.info |= {POOL_KEY: pool, FRAME_KEY: frame.index}
    return replace(frame, atoms=atoms)
