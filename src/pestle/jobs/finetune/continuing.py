"""Continuing a run: the new run trains on its frames, too, and is judged on its other sets.

The manifest of the parent names its data files with hashes and label keys, and those of the runs
that it continued itself. So every earlier set is judged again, and a loss is reported.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pestle.adaptation import METHODS
from pestle.errors import PestleError
from pestle.jobs.finetune.parent import Parent, read_parent
from pestle.jobs.old_frames import SPLITS, read_old
from pestle.progress import stage
from pestle.records.continued import Continued, OldRun
from pestle.records.manifest import Manifest
from pestle.settings.run import RunSettings, walk
from pestle.settings.run_file import LENGTH, build
from pestle.structures.frame import Frame
from pestle.structures.splits import Splits, distinct_atoms, read_splits
from pestle.wording import counted, figure

#: Settings that the new run does not take from its parent.
_OWN = ("foundation", "head", "e0s", "data.train", "data.valid", "data.test",
        "data.train_fraction", "data.train_count", "data.subset_seed", "train.device",
        "train.threads", "parent.run", "parent.weight", "log.tensorboard", "log.wandb")  # fmt: skip
#: Settings that belong to a method; they are taken only together with it.
_OF_METHOD = ("train.lr", "train.ema_decay", "train.clip", "train.schedule",
              "train.schedule_patience", "train.schedule_floor")  # fmt: skip
#: Start of the reason for a setting that was taken from the parent.
AS_BEFORE = "as in the continued run"
#: The rest of the reason for a learning rate that the parent found by `train.lr: auto`.
RATE_FOUND = ", which found it by train.lr: auto"
#: Smallest weight that is chosen for old frames; with less, the model would forget them.
LEAST_WEIGHT = 0.1


@dataclass
class Data:
    """The frames of a run.

    Attributes:
        splits: training and validation frames, including old ones with their weight, and the new
            test frames.
        fresh: the new frames only.
        judged: set → frames on which the model is judged, besides the training frames.
        continued: the old runs and the weight of their frames; `None` without old runs.
        reason: the reason for this weight.
    """

    splits: Splits
    fresh: Splits
    judged: dict[str, list[Frame]]
    continued: Continued | None = None
    reason: str = ""


def with_parent(settings: RunSettings) -> RunSettings:
    """Add the settings of the parent to the settings of a run that continues it.

    Settings that the user gave are kept.

    Args:
        settings: settings that the user gave.

    Raises:
        PestleError: the parent is not a run, or the user named another foundation.
    """
    if settings.parent.run is None:
        return settings
    with stage(f"reading the run {settings.parent.run}"):
        _, manifest = _parent_of(settings)
    home = str(Path(settings.parent.run).expanduser())
    if settings.foundation and not _same_place(settings.foundation, home):
        raise PestleError(
            f"a continued run starts from its own model, but {settings.foundation} was named",
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
    """Return reasons for settings that were taken from the parent: dotted name → reason.

    Args:
        settings: settings of the run.
        parent: the model from which it starts; `None` if no run made it.
    """
    if settings.parent.run is None or parent is None or parent.manifest is None:
        return {}
    reasons = {
        name: f"{AS_BEFORE} {parent.name}"
        for name, value in _taken_over(parent.manifest).items()
        if attrgetter(name)(settings) == value
    }
    if "train.lr" in reasons and parent.manifest.rate_probe is not None:
        reasons["train.lr"] += RATE_FOUND
    return reasons


def read_data(settings: RunSettings, parent: Parent | None) -> Data:
    """Read the new frames and the frames of continued runs.

    Args:
        settings: settings of the run; `parent.weight` may be `None`.
        parent: the model from which it starts; `None` if no run made it.

    Raises:
        PestleError: a file of a continued run is missing or has changed, or the data cannot be
            read.
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
    """Return the weight of an old frame relative to a new one, and the reason.

    Args:
        n_old, n_new: numbers of training frames.
        asked: weight in the settings; `None` to choose one. The run file of a run contains the
            chosen weight.
    """
    if n_old <= n_new:
        chosen, reason = (
            1.0,
            f"{n_old} old frames are not more than {n_new} new ones: all have the same weight",
        )
    else:
        chosen = max(LEAST_WEIGHT, n_new / n_old)
        reason = (
            f"{n_old} old frames, which the model knows already, would outweigh {n_new} new ones: "
            + (
                "their weights together are made equal"
                if chosen > LEAST_WEIGHT
                else f"each gets the smallest weight, {LEAST_WEIGHT:g}, and together they weigh "
                f"{figure(n_old * LEAST_WEIGHT / n_new, 2)} times as much as the new ones"
            )
        )
    return (chosen, reason) if asked in (None, chosen) else (float(asked or 1.0), "asked for")


def as_old_run(parent: Parent, manifest: Manifest) -> OldRun:
    """Return the record of a parent in the manifest of a run that continues it.

    Args:
        parent: the parent.
        manifest: the manifest of the parent.
    """
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
    """Return advice on how to train also on the frames of the run that made the foundation.

    Args:
        parent: the model from which the run starts; `None` if no run made it.
        settings: settings of the run.

    Returns:
        The advice; empty if no run made the foundation or if the run trains on its frames already.
    """
    if parent is None or parent.manifest is None or parent.folder is None or settings.parent.run:
        return ""
    old = as_old_run(parent, parent.manifest)
    summary = parent.manifest.data.summary.get("train")
    frames = counted(summary.n_frames, "frame") if summary is not None else "frames"
    text = f"{parent.name} was trained on {frames} that this run does not use"
    gone = [f.path for files in old.files.values() for f in files if not Path(f.path).is_file()]
    if gone:
        return f"{text}; it cannot be continued on them, because {gone[0]} is missing"
    data = " ".join(shlex.quote(name) for name in settings.data.train)
    again = f"pestle finetune --continue {shlex.quote(str(parent.folder.path))} --data {data}"
    return f"{text}; the model may forget what it learned from them. To train on both: {again}"


def _parent_of(settings: RunSettings) -> tuple[Parent, Manifest]:
    """Read the run that is continued.

    Raises:
        PestleError: the folder does not exist or contains no run.
    """
    name = settings.parent.run
    assert name is not None
    if not Path(name).expanduser().is_dir():
        raise PestleError("no such run folder", where=name, fix="Name the folder of a run.")
    parent = read_parent(name)
    if parent is None or parent.manifest is None:
        raise PestleError(
            "contains no run to continue: it has no manifest and no model with a card",
            where=name,
            fix=f"Train on the new frames alone: --foundation {name}."
            if (Path(name).expanduser() / "architecture.json").is_file()
            else "Name the folder of a run that contains a model.",
        )
    return parent, parent.manifest


def _taken_over(manifest: Manifest) -> dict[str, Any]:
    """Return the settings that a new run takes from its parent: dotted name → value.

    These are the settings that the user gave to the parent, and the learning rate that it found by
    `train.lr: auto`. Another search would find far too low a rate: a model that was trained already
    has so small a loss that almost every rate raises it in the first updates.
    """
    known = {name for name, _ in walk()}
    taken = {
        name: entry.value
        for name, entry in manifest.settings.items()
        if name in known
        and name not in _OWN
        and (entry.reason == "asked for" or entry.reason.startswith(AS_BEFORE))
    }
    if manifest.rate_probe is not None and "train.lr" in manifest.settings:
        taken["train.lr"] = manifest.settings["train.lr"].value
    method = manifest.method.name
    if method in METHODS and not METHODS[method].from_scratch:
        return taken | {"method": method}
    # The parent was trained from random weights: these settings are not for fine-tuning.
    return {n: v for n, v in taken.items() if n not in (*_OF_METHOD, "method")}


def _is_given(settings: RunSettings, name: str) -> bool:
    """Whether the user gave a setting."""
    group, _, leaf = name.rpartition(".")
    holder = getattr(settings, group) if group else settings
    return leaf in holder.model_fields_set


def _same_place(one: str, other: str) -> bool:
    """Whether two paths lead to the same run; the folder `model` of a run stands for the run."""
    places = [Path(name).expanduser().resolve() for name in (one, other)]
    folders = [p.parent if p.name == "model" else p for p in places]
    return folders[0] == folders[1]


def _with_own_names(runs: Sequence[OldRun]) -> tuple[OldRun, ...]:
    """Return the runs with numbers added to equal names."""
    taken: list[OldRun] = []
    for run in runs:
        name, count = run.name, 2
        while name in {one.name for one in taken}:
            name, count = f"{run.name} {count}", count + 1
        taken.append(run.model_copy(update={"name": name}))
    return tuple(taken)
