"""What `pestle study` and its further commands do.

Planning imports readers of structures, which takes half a second: `pestle study status` does
without where the plan is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pestle.errors import PestleError
from pestle.files import Damaged
from pestle.locks import locked_folder
from pestle.progress import duration, say, warn
from pestle.records.study import StudyPlan
from pestle.study.keys import asked_digest
from pestle.study.status import OPEN, CellState, StudyState, state_of
from pestle.study.study_file import LOCAL, Study, read_study

if TYPE_CHECKING:
    from pestle.study.plan import Plan

#: What to do about runs that were gone on with by hand.
CHANGED = (
    "Tables leave them out. Move them elsewhere (`pestle study gather RUN…` makes a table of any "
    "runs) or remove them (`pestle study clean STUDY.yaml --changed`), then run the study again."
)
#: What a study keeps in its folder besides plan.json and hashes.json.
KEPT = ("runs", "cells", "shared", "parsl")


def run_study(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
    engine: str = LOCAL,
    workers: int | None = None,
    retry: bool = False,
    trust: bool = False,
    dry_run: bool = False,
) -> StudyState:
    """Do what is left of a study: cells that are finished are kept, interrupted ones go on.

    >>> pestle.run_study("study.yaml", workers=2)

    Args:
        study: STUDY.yaml.
        given: NAME=VALUE each: variables of the study, or settings of every run.
        out: folder of the runs, in the place of what the file says.
        only: AXIS=VALUE each: only the cells that have these values; several values of one axis
            are alternatives.
        engine: local, or a Python file that defines `config`, a `parsl.config.Config`; it is run.
        workers: commands at a time with `local`; by default as many as there are cores.
        retry: also do cells that failed.
        trust: allow `.model` files.
        dry_run: plan only.

    Returns:
        Where the study stands.

    Raises:
        PestleError: a mistake in the study, or another command runs it.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; the commands have written their checkpoints.
    """
    from pestle.study.engine import INSTALL, config_of, has_parsl, work_through
    from pestle.study.plan import distinct, plan

    asked = read_study(study, given, out)
    if dry_run:
        if engine != LOCAL:
            config_of(Path(engine), asked.folder)
        found = plan(asked)
        if not has_parsl():
            warn(f"the study cannot be run yet: it needs Parsl. {INSTALL}")
        return state_of(found.record, asked.folder, only)
    with locked_folder(asked.folder):
        found = plan(asked)
        before = state_of(found.record, asked.folder, only)
        found.record.write(asked.folder / "plan.json")
        states = {one.cell.name: one.state for one in before.cells}
        wanted = [
            cell
            for cell in distinct(found.cells)
            if cell.name in states
            and states[cell.name] not in ("finished", "changed")
            and (retry or states[cell.name] != "failed")
        ]
        say(state_line(before))
        lost = (
            work_through(
                wanted, asked.folder, engine=engine, workers=workers, retry=retry, trust=trust
            )
            if wanted
            else {}
        )
        return replace(state_of(found.record, asked.folder, only), lost=lost)


def study_status(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
) -> StudyState:
    """Where a study stands; nothing is written.

    Args:
        study, given, out, only: as in `run_study`.

    Raises:
        PestleError: a mistake in the study.
    """
    asked = read_study(study, given, out)
    return state_of(planned(asked), asked.folder, only)


def planned(study: Study) -> StudyPlan:
    """The plan of the last `pestle study`, or a new one where the study has changed since."""
    try:
        found = StudyPlan.read(study.folder / "plan.json")
        if found.asked == asked_digest(study):
            return found
    except Damaged:
        pass
    from pestle.study.plan import plan

    return plan(study).record


def clean_study(
    study: str | Path,
    *,
    given: Sequence[str] = (),
    out: str | Path | None = None,
    only: Sequence[str] = (),
    failed: bool = False,
    changed: bool = False,
    everything: bool = False,
    dry_run: bool = False,
) -> list[Path]:
    """Remove runs that the study no longer holds, and what was shared, once nothing needs it.

    Args:
        study, given, out: as in `run_study`.
        only: as in `run_study`: of these cells alone is anything removed, of `failed`, `changed` or
            `everything`.
        failed: remove runs that failed, too, so that they begin anew.
        changed: the same with runs that were gone on with by hand with other settings.
        everything: remove all that the study has made.
        dry_run: say what would be removed.

    Returns:
        Files and folders that were, or would be, removed.

    Raises:
        PestleError: a mistake in the study, or another command runs it.
    """
    from pestle.study.plan import plan

    asked = read_study(study, given, out)
    if not asked.folder.is_dir():
        return []
    with locked_folder(asked.folder):
        gone = _to_remove(
            asked, plan(asked), only, failed=failed, changed=changed, everything=everything
        )
        if not dry_run:
            for path in gone:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return gone


def _to_remove(
    asked: Study,
    found: Plan,
    only: Sequence[str],
    *,
    failed: bool,
    changed: bool,
    everything: bool,
) -> list[Path]:
    home = asked.folder
    state = state_of(found.record, home, only)
    anew = {state for state, asked_for in (("failed", failed), ("changed", changed)) if asked_for}
    if only:
        chosen = {one.cell.name for one in state.cells if everything or one.state in anew}
        return [path for path, name in _of_cells(home) if name in chosen]
    if everything:
        names = (*KEPT, "plan.json", "hashes.json", "tables", "plots", "study.html")
        return [home / name for name in names if (home / name).exists()]
    kept = {one.cell.name for one in state.cells if one.state not in anew}
    gone = [path for path, name in _of_cells(home) if name not in kept]
    if not state.of(*OPEN) and (home / "shared").is_dir():
        gone.append(home / "shared")
    return gone


def _of_cells(home: Path) -> Iterator[tuple[Path, str]]:
    """Files and folders of cells, each with the name of its cell."""
    endings = {"runs": (".labels.partial",), "cells": (".json", ".yaml", ".log")}
    for part, known in endings.items():
        for path in sorted((home / part).iterdir()) if (home / part).is_dir() else ():
            name = path.name
            for ending in known:
                name = name.removesuffix(ending)
            yield path, name


def state_line(state: StudyState) -> str:
    """`12 cells: 3 finished, 9 waiting; about 2h 10m left`; of a part `4 of 12 cells: …`."""
    counts = ", ".join(f"{count} {name}" for name, count in state.counts.items() if count)
    left = state.seconds_left
    time = f"; about {duration(left)} left" if left else ""
    part = "" if state.total in (0, len(state.cells)) else f" of {state.total}"
    return f"{len(state.cells)}{part} cells: {counts}{time}"


def require_done(state: StudyState) -> None:
    """A study must be done.

    Raises:
        PestleError: cells failed, or were left; names the first ones, and why they were lost.
    """
    failures, left = state.of("failed"), state.of(*OPEN)
    if failures:
        raise PestleError(
            f"{len(failures)} of {len(state.cells)} cells failed: {_first(failures)}",
            where=str(state.folder),
            fix="`pestle study status STUDY.yaml` shows why; `--retry` tries them again.",
        )
    changed = state.of("changed")
    if changed:
        raise PestleError(
            f"{len(changed)} of {len(state.cells)} runs no longer have the settings of their cells:"
            f" {_first(changed)}",
            where=str(state.folder),
            fix=CHANGED,
        )
    if left:
        why = next(iter(state.lost.values()), "")
        raise PestleError(
            f"{len(left)} of {len(state.cells)} cells are not done: {_first(left)}"
            + (f". {why}" if why else ""),
            where=str(state.folder),
            fix="The same command goes on with them."
            + (f" Parsl's log: {state.folder / 'parsl'}/…/parsl.log." if why else ""),
        )


def _first(cells: Sequence[CellState]) -> str:
    """Names of the first ones."""
    more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
    return ", ".join(one.cell.name for one in cells[:3]) + more
