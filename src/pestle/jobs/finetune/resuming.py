"""Resuming a run: the settings that may change, and the manifest of the resumed run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.records.folder import RunFolder, now
from pestle.records.manifest import Change, Manifest, Setting
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build, read_own_run_file
from pestle.training.state import updates_in
from pestle.wording import counted

#: Settings that a resumed run may change: its device, its checkpoints, its loggers and its length.
ELSEWHERE = ("train.device", "train.threads", "train.checkpoint_seconds")
FURTHER = ("train.updates", "train.epochs", "train.patience", "train.lr")


def resume_settings(out: Path, overrides: Mapping[str, Any]) -> RunSettings:
    """Return the settings of a resumed run.

    Device, threads, checkpoints, loggers, length, patience and learning rate may change; all else
    stays.

    Args:
        out: run folder.
        overrides: dotted name → new value.

    Raises:
        PestleError: there is no run in the folder, or a change would make it another run.
    """
    folder = RunFolder(out)
    folder.require_run()
    typed = shlex.quote(str(out))
    for name in overrides:
        if name not in (*ELSEWHERE, *FURTHER) and not name.startswith("log."):
            raise PestleError(
                "cannot change when a run is resumed",
                where=name,
                fix=f"Start a new run from this one's model: --foundation {typed} -o NEW_DIR.",
            )
    if overrides.get("train.lr") == "auto":
        raise PestleError(
            "auto tries rates on the model before its first update, and this run is past that",
            where="train.lr",
            fix="Give a number, or start a new run from this one's model: "
            f"--foundation {typed} -o NEW_DIR.",
        )
    done = updates_in(folder.checkpoint)
    if (overrides.get("train.updates") or done) < done:
        raise PestleError(
            f"the run has done {counted(done, 'update')} already",
            where="train.updates",
            fix="Give more of them.",
        )
    tree = read_own_run_file(folder.settings)
    return build(tree, overrides, where=str(folder.settings))


def going_on(manifest: Manifest, begun: Manifest, folder: RunFolder) -> Manifest:
    """Return the manifest of a resumed run.

    It keeps the original command, the results from before the first update, and the reasons for
    settings that did not change.

    Args:
        manifest: the manifest that a new run would have.
        begun: the manifest of the run before.
        folder: folder of the run.
    """
    settings = {
        name: begun.settings[name]
        if name in begun.settings and begun.settings[name].value == entry.value
        else entry
        for name, entry in manifest.settings.items()
    }
    return manifest.with_entries(
        command=begun.command,
        run_id=begun.run_id,
        started=begun.started,
        replay=begun.replay,
        rate_probe=begun.rate_probe,
        method=manifest.method.model_copy(update={"choice": begun.method.choice}),
        settings=settings,
        changes=(*begun.changes, *_changes(begun, settings, folder)),
    )


def finished_already(begun: Manifest, settings: RunSettings) -> bool:
    """Whether a run to resume has ended, and no setting asks it to train further.

    Args:
        begun: the manifest of the run before.
        settings: settings of the resumed run.
    """
    if begun.status != "finished" or begun.training is None:
        return False
    return all(
        begun.value(name) == getattr(settings.train, name.removeprefix("train."))
        for name in FURTHER
    )


def nothing_to_do(begun: Manifest, folder: RunFolder) -> list[str]:
    """Say that a run has finished, and how it would go on.

    Args:
        begun: the manifest of the run before.
        folder: folder of the run.
    """
    training = begun.of_training
    again = f"pestle finetune --resume -o {shlex.quote(str(folder.path))} --set"
    longer = f"a longer budget: {again} train.updates={2 * training.steps}"
    if begun.plan is not None and training.steps < begun.plan.steps:
        # It did not need the budget that it had.
        longer = f"to go on, more patience or another rate: {again} train.patience=N train.lr=RATE"
    return [
        f"finished already at update {training.steps:,} ({training.finished}); {longer}",
        "model and report are written again",
    ]


def _changes(begun: Manifest, settings: Mapping[str, Setting], folder: RunFolder) -> list[Change]:
    """Return the changes of length, patience and learning rate."""
    done = updates_in(folder.checkpoint)
    return [
        Change(
            when=now(),
            after_update=done,
            setting=name,
            before=begun.settings[name].value,
            to=settings[name].value,
        )
        for name in FURTHER
        if name in begun.settings and begun.settings[name].value != settings[name].value
    ]
