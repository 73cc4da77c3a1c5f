"""A run that goes on: what may change, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.records.folder import RunFolder, now
from pestle.records.manifest import Change, Manifest, Setting
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build, read_own_run_file
from pestle.training.state import updates_in

#: What may change when a run goes on: where it runs, what it logs to, and how long it trains.
ELSEWHERE = ("train.device", "train.threads")
FURTHER = ("train.updates", "train.epochs", "train.patience", "train.lr")


def resume_settings(out: Path, overrides: Mapping[str, Any]) -> RunSettings:
    """Settings of a run to go on with: its own, but for device, threads, loggers, length, patience
    and learning rate.

    Raises:
        PestleError: no run there, or an override that would make it another run.
    """
    folder = RunFolder(out)
    folder.require_run()
    for name in overrides:
        if name not in (*ELSEWHERE, *FURTHER) and not name.startswith("log."):
            raise PestleError(
                "cannot change when a run is resumed",
                where=name,
                fix=f"Start a new run from this one's model: --foundation {out} -o NEW_DIR.",
            )
    if overrides.get("train.lr") == "auto":
        raise PestleError(
            "auto tries rates on the model before its first update, and this run is past that",
            where="train.lr",
            fix="Give a number, or start a new run from this one's model: "
            f"--foundation {out} -o NEW_DIR.",
        )
    done = updates_in(folder.checkpoint)
    if (overrides.get("train.updates") or done) < done:
        raise PestleError(
            f"the run has done {done:,} updates already",
            where="train.updates",
            fix="Give more of them.",
        )
    tree = read_own_run_file(folder.settings)
    return build(tree, overrides, where=str(folder.settings))


def going_on(manifest: Manifest, begun: Manifest, folder: RunFolder) -> Manifest:
    """The manifest of a run that goes on.

    The command that repeats the run is the one that began it, and what was found before the first
    update stays; so do the reasons for settings that were not changed.

    Args:
        manifest: as it would be of a new run.
        begun: as it was before.
        folder: of the run.
    """
    settings = {
        name: begun.settings[name]
        if name in begun.settings and begun.settings[name].value == entry.value
        else entry
        for name, entry in manifest.settings.items()
    }
    return manifest.with_entries(
        command=begun.command,
        started=begun.started,
        replay=begun.replay,
        rate_probe=begun.rate_probe,
        method=manifest.method.model_copy(update={"choice": begun.method.choice}),
        settings=settings,
        changes=(*begun.changes, *_changes(begun, settings, folder)),
    )


def _changes(begun: Manifest, settings: Mapping[str, Setting], folder: RunFolder) -> list[Change]:
    """What a resumed run changes of length, patience and rate."""
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
