"""Device, threads and repeatability of a training run, through Lightning Fabric."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.precision import Precision

from pestle.foundations.devices import fabric_device
from pestle.foundations.memory import keep_freed_memory
from pestle.settings.run import TrainSettings


class KeepPrecision(Precision):
    """Fabric must not touch dtypes: the network's is set by Pestle and total energies stay
    float64 (Fabric's own plugins cast inputs and outputs)."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def make_fabric(settings: TrainSettings) -> Fabric:
    """Fabric on the device that was asked for, started; sets torch's threads and how the process
    keeps its memory.

    Raises:
        PestleError: the device does not exist here.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    keep_freed_memory()
    accelerator, devices = fabric_device(settings.device)
    fabric = Fabric(accelerator=accelerator, devices=devices, plugins=[KeepPrecision()])
    make_repeatable(on_cpu=accelerator == "cpu")
    fabric.launch()
    return fabric


def make_repeatable(*, on_cpu: bool) -> None:
    """The same numbers from the same input, run after run.

    TorchScript's profiling executor re-optimises after its first calls, which changes results in
    the last bits; without it, and with deterministic kernels, runs on a CPU repeat exactly.
    """
    torch._C._set_graph_executor_optimize(False)
    # On a GPU index_add and friends have no deterministic double backward in every release.
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
