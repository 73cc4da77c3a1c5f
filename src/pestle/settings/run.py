"""The run file: every setting once, with type, default, unit, meaning and source.

The groups stand in files of their own (data.py, training.py, adaptation.py). Validation, `--set
a.b=c`, `pestle init` and the docs page (run_file.py) all come from these classes. A default of
`None` means "chosen for this method, these data and this foundation". `recipes.resolve` fills it in
and gives the reason, and run.yaml in the run folder contains the value that was used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from pestle.settings.adaptation import DriftSettings, KeepSettings, LoraSettings, ReplaySettings
from pestle.settings.base import Group, setting
from pestle.settings.data import DataSettings, ParentSettings
from pestle.settings.e0_table import symbols_of
from pestle.settings.scope import Scope
from pestle.settings.training import LossSettings, TrainSettings


class LogSettings(Group):
    """Where else the metrics go; metrics.jsonl is always written."""

    tensorboard: bool = setting(
        False,
        "Also write TensorBoard events under RUN_DIR/tensorboard (needs the extra 'tensorboard').",
    )
    wandb: str | None = setting(
        None, "Also log to this Weights & Biases project (needs the extra 'wandb')."
    )


class RunSettings(Group):
    """One fine-tuning run."""

    foundation: str = setting(
        "",
        "Catalogue name (see `pestle models`), a Pestle model or run folder, a .nqx file, or a .model file that was trusted (`pestle trust FILE`).",
    )
    recipe: Literal["measured", "paper"] = setting(
        "measured",
        "Where the values come from that are left open. measured: docs/methods.md says on what; paper: "
        "Table 7 to the letter, a constant rate and 200 epochs.",
        source="Table 7",
    )
    head: str | None = setting(
        None, "Head of the foundation to start from; must be named where there are several."
    )
    method: str = setting(
        "naive",
        "How the foundation is adapted; auto chooses from scope and data and says why.",
        source="paper 2.2–2.5",
    )
    scope: Scope | None = setting(
        None,
        "What the model is for. narrow: configurations like those of the data; broad: also others, "
        "where the foundation's breadth must survive. auto needs it.",
        source="paper 5",
    )
    elements: Literal["all", "data"] = setting(
        "all",
        "all: keep every element of the foundation; data: cut down to the elements of the data.",
    )
    e0s: str | dict[str, float] = setting(
        "auto",
        "Atomic reference energies: auto, isolated, reestimate, average, foundation. auto: isolated where the data hold an atom of every element, unless the foundation's E0s mean something else; otherwise reestimate. Or a table with symbols or atomic numbers for keys, {H: -13.6, O: -2043.9} or as mace writes it, {1:-13.6,8:-2043.9}; or a file of JSON or YAML that holds one.",
        unit="eV",
        source="paper 2.6, Eq. 5–6",
    )
    parent: ParentSettings = setting(ParentSettings, "A continued run")
    data: DataSettings = setting(DataSettings, "Data")
    loss: LossSettings = setting(LossSettings, "Loss")
    train: TrainSettings = setting(TrainSettings, "Training")
    lora: LoraSettings = setting(LoraSettings, "LoRA")
    replay: ReplaySettings = setting(ReplaySettings, "Replay")
    drift: DriftSettings = setting(DriftSettings, "Drift")
    keep: KeepSettings = setting(KeepSettings, "Keepers of breadth")
    log: LogSettings = setting(LogSettings, "Logging")

    @field_validator("e0s", mode="before")
    @classmethod
    def _table(cls, value: Any) -> Any:
        """Read a table of E0s, in whichever form it is written."""
        return symbols_of(value)


# -- every field by its dotted name -----------------------------------------------------------------
def walk(model: type[BaseModel] = RunSettings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, pydantic field) of every setting, in order.

    Args:
        model: the settings.
        prefix: text before each name.
    """
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from walk(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def known_names(model: type[BaseModel] = RunSettings) -> list[str]:
    """Return the dotted names of all settings."""
    return [name for name, _ in walk(model)]
