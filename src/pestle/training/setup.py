"""Device, threads and repeatability of a training run, through Lightning Fabric."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.precision import Precision

from pestle.errors import PestleError
from pestle.settings import TrainSettings

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class KeepPrecision(Precision):
    """Fabric must not touch dtypes: the network's is set by Pestle and total energies stay
    float64 (Fabric's own plugins cast inputs and outputs)."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def make_fabric(settings: TrainSettings) -> Fabric:
    """Fabric on the device that was asked for, started; sets torch's threads.

    Raises:
        PestleError: the device does not exist here.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    accelerator, devices = _device(settings.device)
    fabric = Fabric(accelerator=accelerator, devices=devices, plugins=[KeepPrecision()])
    if accelerator == "mps" and settings.dtype == "float64":
        raise PestleError("mps has no float64", where="train.dtype", fix="Set train.dtype=float32.")
    make_repeatable(on_cpu=accelerator == "cpu")
    fabric.launch()
    return fabric


def _device(name: str) -> tuple[str, Any]:
    """(Fabric accelerator, Fabric devices)."""
    if name == "auto":
        return ("cuda", [0]) if torch.cuda.is_available() else ("cpu", 1)
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise PestleError(
            f"unknown device '{name}'", where="train.device", fix="auto, cpu, cuda, cuda:N or mps."
        )
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[kind]
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
    kind, devices = _device(name)
    return torch.device(f"{kind}:{devices[0]}" if isinstance(devices, list) else kind)


def make_repeatable(*, on_cpu: bool) -> None:
    """The same numbers from the same input, run after run.

    TorchScript's profiling executor re-optimises after its first calls, which changes results in
    the last bits; without it, and with deterministic kernels, runs on a CPU repeat exactly.
    """
    torch._C._set_graph_executor_optimize(False)
    # On a GPU index_add and friends have no deterministic double backward in every release.
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
