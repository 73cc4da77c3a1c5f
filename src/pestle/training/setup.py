"""Device, threads and repeatability of a training run."""

from __future__ import annotations

import torch

from pestle.foundations.devices import find_device
from pestle.foundations.memory import keep_freed_memory
from pestle.settings.training import TrainSettings


def make_ready(settings: TrainSettings) -> torch.device:
    """Prepare torch for a run: threads, memory and repeatable results.

    Args:
        settings: device and number of threads.

    Returns:
        The device of the run.

    Raises:
        PestleError: the device does not exist.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    keep_freed_memory()
    device = find_device(settings.device)
    make_repeatable(on_cpu=device.type == "cpu")
    return device


def make_repeatable(*, on_cpu: bool) -> None:
    """Make the same input give the same numbers in every run.

    TorchScript's profiling executor optimises again after its first calls, which changes results in
    the last bits. Without it, and with deterministic kernels, runs on a CPU repeat exactly.

    Args:
        on_cpu: whether the run uses a CPU, where all kernels are deterministic.
    """
    torch._C._set_graph_executor_optimize(False)
    # On a GPU some releases of torch have no deterministic double backward of index_add.
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
