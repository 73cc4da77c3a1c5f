"""Which runs differ only by their seed, names of rows, and settings that differ between rows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pestle.reports.gathering.facts import RunFacts
from pestle.wording import counted

#: Settings that are always shown if they differ, before all others.
FIRST = ("foundation", "method", "data.train", "data.valid", "data.test")

#: Runs that differ only by their seed.
Together = list[RunFacts]


def rows_of(runs: Sequence[RunFacts]) -> list[Together]:
    """Group runs that differ only by their seed, in the order in which they are given.

    A second run with the same seed is a repetition and starts a new row. A model that was tested
    without a run also gets its own row.

    Args:
        runs: content of each run folder.
    """
    rows: dict[tuple[str, int], Together] = {}
    seen: dict[tuple[str, int | None], int] = {}
    for place, facts in enumerate(runs):
        key = _text(facts.settings) if facts.settings else f"\0{place}"
        again = seen.get((key, facts.run.seed), 0)
        seen[key, facts.run.seed] = again + 1
        rows.setdefault((key, again), []).append(facts)
    return list(rows.values())


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def differing(rows: Sequence[Together]) -> tuple[list[str], list[str]]:
    """Return the settings that differ between rows.

    Args:
        rows: the runs of each row.

    Returns:
        Settings that are shown: foundation, method, data, settings that a user gave, and others
        that are needed so that no two rows look equal. And all other settings that differ.
    """
    with_settings = [row[0] for row in rows if row[0].settings]
    names = dict.fromkeys((*FIRST, *(name for facts in with_settings for name in facts.settings)))
    different = [
        name for name in names if len({_text(f.settings.get(name)) for f in with_settings}) > 1
    ]
    asked = {name for facts in with_settings for name in facts.asked}
    shown = [name for name in different if name in FIRST or name in asked]
    while True:
        alike: dict[str, list[RunFacts]] = {}
        for facts in with_settings:
            alike.setdefault(_text([facts.settings.get(n) for n in shown]), []).append(facts)
        more = next(
            (
                name
                for group in alike.values()
                for name in different
                if name not in shown and len({_text(f.settings.get(name)) for f in group}) > 1
            ),
            None,
        )
        if more is None:
            break
        shown.append(more)
    return shown, [name for name in different if name not in shown]


def row_names(rows: Sequence[Together]) -> list[str]:
    """Return a name for each row: the name of its run, or the common beginning of several.

    Args:
        rows: the runs of each row.
    """
    names = [
        row[0].run.name if len(row) == 1 else _beginning([f.results.path for f in row])
        for row in rows
    ]
    for k, row in enumerate(rows):
        if len(row) > 1 and (not names[k] or names.count(names[k]) > 1):
            start = names[k] or row[0].run.name
            names[k] = f"{start} ({counted(len(row), 'seed')})"
            if names.count(names[k]) > 1:
                names[k] = f"{row[0].run.name} and {counted(len(row) - 1, 'more seed')}"
    return names


def _beginning(paths: Sequence[Path]) -> str:
    """Return the common beginning: `ewc-0.1` of ewc-0.1-1 and ewc-0.1-2."""
    names = [path.resolve().name for path in paths]
    parents = {path.resolve().parent for path in paths}
    if len(parents) == 1 and all(re.fullmatch(r"seed-\d+", name) for name in names):
        return parents.pop().name  # `pestle finetune --seeds` made them
    same = [len(set(letters)) == 1 for letters in zip(*names, strict=False)]
    start = names[0][: (*same, False).index(False)]
    if start[-1:].isdigit():  # in the middle of a number
        start = start.rstrip("0123456789")
    for word in ("seed", "run"):
        start = start.rstrip("-_.= ").removesuffix(word)
    return start.rstrip("-_.= ")


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of some paths that are all different.

    Args:
        paths: the paths.
    """
    parts = [path.resolve().parts for path in paths]
    names = ["".join(p[-1:]) for p in parts]
    for length in range(2, max(map(len, parts), default=1) + 1):
        again = {n for n in names if names.count(n) > 1}
        names = [
            Path(*p[-length:]).as_posix() if n in again else n
            for n, p in zip(names, parts, strict=True)
        ]
    return names


def spoken_settings(rows: Sequence[Together], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return setting → value for readers, for each row; files have short names.

    Args:
        rows: the runs of each row.
        names: names of the settings.
    """
    found: list[dict[str, Any]] = [
        {name: row[0].spoken[name] for name in names if name in row[0].spoken} for row in rows
    ]
    for name in names:
        if not (name.startswith("data.") or name in ("replay.pool", "drift.structures")):
            continue
        lists = [row[name] for row in found if isinstance(row.get(name), list | tuple)]
        # One file may be written in several ways: relative to the folder, or in full.
        paths = {str(path): Path(str(path)).resolve() for one in lists for path in one}
        files = list(dict.fromkeys(paths.values()))
        named = dict(zip(files, distinct_names(files), strict=True))
        short = {path: named[file] for path, file in paths.items()}
        for row in found:
            if isinstance(row.get(name), list | tuple):
                row[name] = [short[str(path)] for path in row[name]]
    return found
