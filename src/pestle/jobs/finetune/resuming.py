"""A run that goes on: what may change, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.records.folder import RunFolder, now
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


def keep_reasons(settings: dict[str, Any], begun: Mapping[str, Any]) -> None:
    """Settings that a resumed run did not change keep the reasons they had when it began."""
    for name, entry in begun.items():
        if name in settings and settings[name]["value"] == entry["value"]:
            settings[name] = entry


def changes_of(
    begun: Mapping[str, Any], manifest: Mapping[str, Any], folder: RunFolder
) -> list[dict[str, Any]]:
    """What a resumed run changes of length, patience and rate, for the manifest."""
    done = updates_in(folder.checkpoint)
    settings = manifest["settings"]
    return [
        {
            "when": now(),
            "after_update": done,
            "setting": name,
            "from": begun[name]["value"],
            "to": settings[name]["value"],
        }
        for name in FURTHER
        if name in begun and begun[name]["value"] != settings[name]["value"]
    ]
