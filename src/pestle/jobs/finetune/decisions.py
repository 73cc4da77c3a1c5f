"""Decisions before the first update as data: trained parameters, and settings with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from pestle.foundations.capabilities import parts_of
from pestle.foundations.interface import Foundation
from pestle.records.manifest import Setting
from pestle.records.method import Block
from pestle.settings.run import RunSettings, walk


def trainable_blocks(model: Foundation, trainable: Sequence[str]) -> dict[str, Block]:
    """Count trained and all parameters, by part of the architecture.

    Args:
        model: the model.
        trainable: names of the trained parameters.

    Returns:
        Part of the architecture → numbers of parameters.
    """
    wanted = set(trainable)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    return {
        part: Block(
            trainable=sum(sizes[n] for n in names if n in wanted),
            total=sum(sizes[n] for n in names),
        )
        for part, names in parts_of(model).items()
    }


def explained_settings(settings: RunSettings, reasons: Mapping[str, str]) -> dict[str, Setting]:
    """Explain every setting.

    Args:
        settings: complete settings.
        reasons: dotted name → reason for the values chosen by Pestle.

    Returns:
        Dotted name → value, unit and reason.
    """
    explained = {}
    for name, info in walk():
        value: Any = attrgetter(name)(settings)
        extra = info.json_schema_extra or {}
        source = extra.get("source", "")
        if name in reasons:
            reason = reasons[name]
        elif value == info.get_default(call_default_factory=True):
            reason = f"default ({source})" if source else "default"
        else:
            reason = "asked for"
        explained[name] = Setting(value=value, reason=reason, unit=extra.get("unit", ""))
    return explained
