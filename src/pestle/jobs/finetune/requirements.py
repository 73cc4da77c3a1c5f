"""Requirements on the settings and data of a run, and settings that it does not use."""

from __future__ import annotations

from pydantic import BaseModel

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.foundations.interface import REPLAY_HEAD
from pestle.jobs.finetune.keepers import unused_keepers
from pestle.settings.adaptation import DriftSettings, LoraSettings, ReplaySettings
from pestle.settings.run import RunSettings
from pestle.structures.splits import Splits


def require_heads(settings: RunSettings) -> None:
    """Check that heads and drift exist if the settings need them.

    Args:
        settings: settings of the run.

    Raises:
        PestleError: the settings need the replay head of a method without one, or a drift budget
            for training from scratch.
    """
    method = method_of(settings)
    if settings.train.best_head == REPLAY_HEAD and not method.replays:
        raise PestleError(
            f"the method {settings.method} has no replay head",
            where="train.best_head",
            fix="Leave it at Default, or choose a method with replay.",
        )
    if settings.train.best_head == REPLAY_HEAD and method.pseudolabels:
        raise PestleError(
            "with pseudolabels the replay head is without error before the first update, so that "
            "no later model could be the best",
            where="train.best_head",
            fix="Leave it at Default; train.max_drift bounds how much may be forgotten.",
        )
    if method.from_scratch and (settings.train.max_drift or settings.drift.structures):
        raise PestleError(
            "a model from scratch starts far from the foundation: there is no drift to watch",
            where="train.max_drift" if settings.train.max_drift else "drift.structures",
            fix="Leave it out, or choose another method.",
        )


def unused_settings(settings: RunSettings) -> list[str]:
    """Return a line for every changed LoRA, replay, drift or keeper setting that the run does
    not use.

    Args:
        settings: settings of the run.
    """
    unused: list[str] = []
    method = method_of(settings)
    if not method.low_rank:
        unused += _changed("lora", settings.lora, LoraSettings())
    if not method.replays:
        unused += _changed("replay", settings.replay, ReplaySettings())
    elif not method.pseudolabels and settings.replay.max_force != ReplaySettings().max_force:
        unused.append("replay.max_force")
    if not settings.drift.structures and settings.train.max_drift is None:
        unused += _changed("drift", settings.drift, DriftSettings())
    unused += unused_keepers(settings)
    return [f"{name} is set, but the method {method.name} does not use it" for name in unused]


def _changed(group: str, given: BaseModel, default: BaseModel) -> list[str]:
    return [
        f"{group}.{name}"
        for name in type(given).model_fields
        if getattr(given, name) != getattr(default, name)
    ]


def require_foundation(settings: RunSettings) -> None:
    """Check that a foundation is named; from scratch it defines the architecture.

    Args:
        settings: settings of the run.

    Raises:
        PestleError: no foundation was named.
    """
    if not settings.foundation:
        raise PestleError(
            "no foundation model was named",
            where="foundation",
            fix="Give --foundation NAME; `pestle models` lists the names.",
        )


def require_validation(splits: Splits, settings: RunSettings) -> None:
    """Check that validation frames have the labels by which the kept model is chosen.

    Args:
        splits: the frames.
        settings: settings of the run.

    Raises:
        PestleError: there are no validation frames, or none of them has the label.
    """
    if settings.data.no_validation:
        return
    metric = settings.train.best_metric
    label = metric.split("_")[0]
    wanted = ("energy", "forces", "stress") if label == "loss" else (label,)
    for frame in splits.valid:
        for name in wanted:
            counts = frame.weight * getattr(frame, f"{name}_weight") > 0
            if getattr(frame, name) is not None and counts:
                return
    what = "energy, forces or stress" if label == "loss" else label
    raise PestleError(
        f"no validation frame besides isolated atoms has {what} with a weight above zero"
        if splits.valid
        else "no validation frame is left besides isolated atoms",
        where="data.valid",
        fix="Give labelled validation frames, or leave data.valid out to hold some out"
        + ("." if label == "loss" else f", or choose another train.best_metric than {metric}."),
    )
