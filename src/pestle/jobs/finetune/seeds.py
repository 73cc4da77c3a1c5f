"""`pestle finetune --seeds N`: the members of a committee, runs that differ only in their seed.

Each has a run folder, `seed-0`, `seed-1`, …, and can be resumed like any run. If the command was
stopped, the same command continues.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.foundations.devices import find_device
from pestle.jobs.finetune.continuing import with_parent
from pestle.jobs.finetune.data_settings import with_absolute_paths
from pestle.jobs.finetune.job import finetune
from pestle.jobs.finetune.member_processes import train_members
from pestle.jobs.finetune.seeds_result import Members, summary_of
from pestle.locks import locked_folder
from pestle.members import member_name
from pestle.progress import say
from pestle.records.folder import RunFolder, require_folder
from pestle.records.manifest import Manifest
from pestle.settings.run import RunSettings, walk
from pestle.settings.run_file import build, from_names, read_own_run_file

#: Settings that may differ among the members of one folder.
_FREE = ("train.seed", "train.threads", "train.device")


def finetune_seeds(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    seeds: int,
    trust: bool = False,
    dry_run: bool = False,
    command: str = "",
    show: Callable[[Manifest], None] | None = None,
) -> Members:
    """Fine-tune the members of a committee, which differ only in `train.seed`.

    >>> settings = {"foundation": "medium-mpa-0", "data.train": ["frames.xyz"]}
    >>> members = pestle.finetune_seeds(settings, out="runs/mine", seeds=3)
    >>> atoms.calc = members.load().calculator()

    On a CPU, members run at the same time if there are free cores, each with `train.threads`
    threads (one by default). On a GPU they run one after the other. Finished members are not
    trained again.

    Args:
        settings: as for `finetune`; `train.seed` is the first seed.
        out: folder of the run folders `seed-0`, `seed-1`, ….
        seeds: number of members.
        trust: allow a foundation that is a `.model` file.
        dry_run: only plan the first member.
        command: command line, for the manifests.
        show: called with the manifest of a dry run.

    Returns:
        The run folders, and the errors as mean and standard deviation.

    Raises:
        PestleError: there is a mistake in settings or data, or the folder contains members with
            other settings.
        MembersStopped: the command was stopped; the same command continues.
    """
    if not isinstance(settings, RunSettings):
        settings = from_names(settings)
    settings = with_absolute_paths(with_parent(settings))
    if seeds < 1:
        raise PestleError("at least one seed is needed", where="--seeds")
    if settings.train.threads is None:
        settings.train.threads = 1
    place = Path(out)
    first = settings.train.seed
    folders = [place / member_name(seed) for seed in range(first, first + seeds)]
    if dry_run:
        finetune(settings, folders[0], trust=trust, dry_run=True, command=command, show=show)
        return Members(())
    require_folder(place)
    if RunFolder(place).settings.exists():
        raise PestleError(
            "contains a run, not members of several seeds",
            where=str(place),
            fix="Choose another folder with -o.",
        )
    with locked_folder(place):
        waiting = []
        for folder in folders:
            if _is_finished(folder, settings):
                say(f"{folder.name}: finished before")
            else:
                waiting.append(folder)
        failed = (
            train_members(waiting, settings, trust, command, _at_once(settings)) if waiting else {}
        )
    return summary_of([f for f in folders if f not in failed], failed)


def _at_once(settings: RunSettings) -> int:
    """Return how many members run at the same time: as free cores allow, one on a GPU."""
    if find_device(settings.train.device).type != "cpu":
        return 1
    there = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    free = len(there) - round(os.getloadavg()[0])
    return max(1, free // (settings.train.threads or 1))


def _is_finished(folder: Path, settings: RunSettings) -> bool:
    """Whether a member has finished.

    Raises:
        PestleError: the member was started with other settings.
    """
    run = RunFolder(folder)
    if not run.settings.exists():
        return False
    begun: RunSettings = build(read_own_run_file(run.settings), {}, where=str(run.settings))
    for name, _ in walk():
        asked, was = attrgetter(name)(settings), attrgetter(name)(begun)
        # The member chose the settings that are left open.
        if name in _FREE or asked in (None, "auto", [], was):
            continue
        *groups, leaf = name.split(".")
        holder = getattr(settings, groups[0]) if groups else settings
        if leaf in holder.model_fields_set:
            raise PestleError(
                f"was started with {name}={was}, and now it is {asked}",
                where=str(folder),
                fix="Type the command as before, or choose another folder with -o.",
            )
    return run.manifest.exists() and Manifest.of_run(run.manifest).status == "finished"
