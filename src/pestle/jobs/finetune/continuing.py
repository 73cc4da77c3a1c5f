"""Continuing a run: its training frames beside the new ones, its other sets to judge again.

The parent's manifest names its files with their hashes and how they were read, and those of the
runs that it continued itself, so that nothing learned before is lost without being said.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pestle.adaptation import METHODS
from pestle.errors import PestleError
from pestle.jobs.finetune.parent import Parent, read_parent
from pestle.jobs.old_frames import SPLITS, read_old
from pestle.records.continued import Continued, OldRun
from pestle.records.manifest import Manifest
from pestle.settings.run import RunSettings, walk
from pestle.settings.run_file import LENGTH, build
from pestle.structures.frame import Frame
from pestle.structures.splits import Splits, distinct_atoms, read_splits
from pestle.wording import counted

#: What a continued run does not take over: what makes it another run, and where it runs.
_OWN = ("foundation", "head", "e0s", "data.train", "data.valid", "data.test",
        "data.train_fraction", "data.train_count", "data.subset_seed", "train.device",
        "train.threads", "parent.run", "parent.weight", "log.tensorboard", "log.wandb")  # fmt: skip
#: What belongs to a method, and is taken over with it alone.
_OF_METHOD = ("train.lr", "train.ema_decay", "train.clip", "train.schedule",
              "train.schedule_patience", "train.schedule_floor")  # fmt: skip
#: Begins the reason for a setting that was taken over.
AS_BEFORE = "as in the continued run"
#: Weights of old frames that are chosen: below, they would say too little of what was learned.
LEAST_WEIGHT = 0.1


@dataclass
class Data:
    """The frames of a run.

    Attributes:
        splits: to train on and to choose the model by, old frames included, these with their
            weight; the test frames are the new ones.
        fresh: the new frames alone.
        judged: set → frames that the model is judged on besides the training frames.
        continued: the old runs and their weight; `None` without one.
        reason: why they have that weight.
    """

    splits: Splits
    fresh: Splits
    judged: dict[str, list[Frame]]
    continued: Continued | None = None
    reason: str = ""


def with_parent(settings: RunSettings) -> RunSettings:
    """Settings with what a continued run was asked for, wherever nothing else is asked for.

    Args:
        settings: what was asked.

    Raises:
        PestleError: the parent is no run, or another foundation was named.
    """
    if settings.parent.run is None:
        return settings
    _, manifest = _parent_of(settings)
    home = str(Path(settings.parent.run).expanduser())
    if settings.foundation and not _same_place(settings.foundation, home):
        raise PestleError(
            f"a continued run starts from its own model, and {settings.foundation} was named",
            where="foundation",
            fix=f"Leave out one of --foundation {settings.foundation} and --continue {home}.",
        )
    given = settings.model_dump(exclude_unset=True)
    given["foundation"] = settings.foundation or home
    taken = {n: v for n, v in _taken_over(manifest).items() if not _is_given(settings, n)}
    if "method" not in taken and settings.method != manifest.method.name:
        taken = {n: v for n, v in taken.items() if n not in _OF_METHOD}
    if any(_is_given(settings, n) for n in LENGTH):
        taken = {n: v for n, v in taken.items() if n not in LENGTH}
    return build(given, taken)


def reasons_of(settings: RunSettings, parent: Parent | None) -> dict[str, str]:
    """Dotted name → reason for the settings of a continued run that are those of its parent."""
    if settings.parent.run is None or parent is None or parent.manifest is None:
        return {}
    return {
        name: f"{AS_BEFORE} {parent.name}"
        for name, value in _taken_over(parent.manifest).items()
        if _value(settings, name) == value
    }


def read_data(settings: RunSettings, parent: Parent | None) -> Data:
    """Read the new frames, and those of the continued runs.

    Args:
        settings: of the run; `parent.weight` may be open.
        parent: the model that it starts from, where a run made that.

    Raises:
        PestleError: a file of a continued run is gone or changed, or anything that is wrong with
            the data.
    """
    fresh = read_splits(settings.data)
    judged = {"test": fresh.test, "valid": fresh.valid}
    if settings.parent.run is None:
        return Data(fresh, fresh, judged)
    assert parent is not None and parent.manifest is not None
    runs = (
        *(parent.manifest.continued.runs if parent.manifest.continued is not None else ()),
        as_old_run(parent, parent.manifest),
    )
    runs = _with_own_names(runs)
    old = read_old(runs)
    weight, reason = weight_of(len(old.train), len(fresh.train), settings.parent.weight)

    def weighted(frames: Sequence[Frame]) -> list[Frame]:
        return [replace(f, weight=f.weight * weight) for f in frames]

    valid = [] if settings.data.no_validation else [f for s in old.valid.values() for f in s]
    splits = replace(
        fresh,
        train=[*weighted(old.train), *fresh.train],
        valid=[*weighted(valid), *fresh.valid],
        isolated=distinct_atoms([*old.isolated, *fresh.isolated]),
        old_tests=old.test,
    )
    return Data(
        splits,
        fresh,
        judged | old.judged,
        Continued(runs=runs, n_frames=len(old.train), weight=weight),
        reason,
    )


def weight_of(n_old: int, n_new: int, asked: float | None) -> tuple[float, str]:
    """Weight of an old frame where a new one has 1, and the reason.

    Args:
        n_old, n_new: training frames.
        asked: by the user; `None` to choose. The run file of a run repeats what was chosen.
    """
    if n_old <= n_new:
        chosen, reason = (
            1.0,
            f"{n_old} old frames are no more than {n_new} new ones: all count alike",
        )
    else:
        chosen = max(LEAST_WEIGHT, n_new / n_old)
        reason = (
            f"{n_old} old frames, which the model knows already, would drown {n_new} new ones: "
            + (
                "together they weigh as much"
                if chosen > LEAST_WEIGHT
                else f"they get the least weight, {LEAST_WEIGHT:g}, together "
                f"{n_old * LEAST_WEIGHT / n_new:.2g} times as much"
            )
        )
    return (chosen, reason) if asked in (None, chosen) else (float(asked or 1.0), "asked for")


def as_old_run(parent: Parent, manifest: Manifest) -> OldRun:
    """A run as those see it that continue it."""
    return OldRun(
        name=parent.name,
        run_id=manifest.run_id,
        files={n: f for n, f in manifest.data.files.items() if n in SPLITS},
        settings={
            name.removeprefix("data."): entry.value
            for name, entry in manifest.settings.items()
            if name.startswith("data.") and name.removeprefix("data.") not in SPLITS
        },
    )


def offer_of(parent: Parent | None, settings: RunSettings) -> str:
    """How to train also on the frames of the run that made the foundation; empty where no run did,
    or where that is done."""
    if parent is None or parent.manifest is None or parent.folder is None or settings.parent.run:
        return ""
    old = as_old_run(parent, parent.manifest)
    summary = parent.manifest.data.summary.get("train")
    frames = counted(summary.n_frames, "frame") if summary is not None else "frames"
    text = f"{parent.name} was trained on {frames} that this run does not see"
    gone = [f.path for files in old.files.values() for f in files if not Path(f.path).is_file()]
    if gone:
        return f"{text}; {gone[0]} is gone, without which it cannot be continued on them"
    data = " ".join(shlex.quote(name) for name in settings.data.train)
    again = f"pestle finetune --continue {shlex.quote(str(parent.folder.path))} --data {data}"
    return f"{text}, and may lose what it learned there. To train on both: {again}"


def _parent_of(settings: RunSettings) -> tuple[Parent, Manifest]:
    """The run that is continued."""
    name = settings.parent.run
    assert name is not None
    if not Path(name).expanduser().is_dir():
        raise PestleError("no such run folder", where=name, fix="Name the folder of a run.")
    parent = read_parent(name)
    if parent is None or parent.manifest is None:
        raise PestleError(
            "holds no run to continue: it has no manifest and no model with a card",
            where=name,
            fix=f"Train on the new frames alone: --foundation {name}."
            if (Path(name).expanduser() / "architecture.json").is_file()
            else "Name the folder of a run that has kept a model.",
        )
    return parent, parent.manifest


def _taken_over(manifest: Manifest) -> dict[str, Any]:
    """Dotted name → value of what a run was asked for and one that continues it takes over."""
    known = {name for name, _ in walk()}
    taken = {
        name: entry.value
        for name, entry in manifest.settings.items()
        if name in known
        and name not in _OWN
        and (entry.reason == "asked for" or entry.reason.startswith(AS_BEFORE))
    }
    method = manifest.method.name
    if method in METHODS and not METHODS[method].from_scratch:
        return taken | {"method": method}
    # Random weights are over: what was asked for them says nothing of fine-tuning.
    return {n: v for n, v in taken.items() if n not in (*_OF_METHOD, "method")}


def _value(settings: RunSettings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _is_given(settings: RunSettings, name: str) -> bool:
    """Whether the user gave a setting."""
    group, _, leaf = name.rpartition(".")
    holder = getattr(settings, group) if group else settings
    return leaf in holder.model_fields_set


def _same_place(one: str, other: str) -> bool:
    places = [Path(name).expanduser().resolve() for name in (one, other)]
    folders = [p.parent if p.name == "model" else p for p in places]
    return folders[0] == folders[1]


def _with_own_names(runs: Sequence[OldRun]) -> tuple[OldRun, ...]:
    """The same, no two of one name."""
    taken: list[OldRun] = []
    for run in runs:
        name, count = run.name, 2
        while name in {one.name for one in taken}:
            name, count = f"{run.name} {count}", count + 1
        taken.append(run.model_copy(update={"name": name}))
    return tuple(taken)
