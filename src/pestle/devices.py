"""Devices and precisions by the names that users give them."""

from __future__ import annotations

from typing import Any

import torch

from pestle.errors import PestleError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def fabric_device(name: str) -> tuple[str, Any]:
    """(Fabric accelerator, Fabric devices)."""
    if name == "auto":
        return ("cuda", [0]) if torch.cuda.is_available() else ("cpu", 1)
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise PestleError(
            f"unknown device '{name}'", where="train.device", fix="auto, cpu, cuda or cuda:N."
        )
    available = 1 if kind == "cpu" else torch.cuda.device_count()
    if int(number or 0) >= available:
        raise PestleError(
            f"device '{name}' is not there ({available} {kind} devices found)",
            where="train.device",
            fix="Use train.device=auto.",
        )
    return kind, [int(number or 0)] if kind != "cpu" else 1


def find_device(name: str) -> torch.device:
    """The torch device of a `train.device` name.

    Raises:
        PestleError: it does not exist here.
    """
    kind, devices = fabric_device(name)
    return torch.device(f"{kind}:{devices[0]}" if isinstance(devices, list) else kind)
