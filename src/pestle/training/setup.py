"""Device, threads and repeatability of a training run."""

from __future__ import annotations

import torch

from pestle.foundations.devices import find_device
from pestle.foundations.memory import keep_freed_memory
from pestle.settings.run import TrainSettings


def make_ready(settings: TrainSettings) -> torch.device:
    """Set torch's threads, how the process keeps its memory, and that runs repeat.

    Returns:
        The device that was asked for.

    Raises:
        PestleError: it does not exist here.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    keep_freed_memory()
    device = find_device(settings.device)
    make_repeatable(on_cpu=device.type == "cpu")
    return device


def make_repeatable(*, on_cpu: bool) -> None:
    """The same numbers from the same input, run after run.

    TorchScript's profiling executor re-optimises after its first calls, which changes results in
    the last bits; without it, and with deterministic kernels, runs on a CPU repeat exactly.
    """
    torch._C._set_graph_executor_optimize(False)
    # On a GPU index_add and friends have no deterministic double backward in every release.
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
