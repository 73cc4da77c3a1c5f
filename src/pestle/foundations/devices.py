"""Find devices and precisions by the names that users type, and report a lack of memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames
from typing import TYPE_CHECKING

import torch

from pestle.errors import PestleError
from pestle.wording import counted

if TYPE_CHECKING:
    from pestle.structures.graphs import GraphBatch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def find_device(name: str) -> torch.device:
    """Return the torch device of a name that `train.device` takes.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` means the first GPU, or the CPU if there is
            none.

    Raises:
        PestleError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
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
    return torch.device("cpu" if kind == "cpu" else f"cuda:{int(number or 0)}")


#: Parts of the messages of plain RuntimeErrors that mean a lack of memory: on the CPU, and on a GPU
#: if CUDA itself fails before torch's allocator is asked.
_NO_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class OutOfMemory(PestleError):
    """This error says that the memory of a device is too small for a batch."""

    exit_code = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch raised this error because a device has no memory left."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


@contextmanager
def fits_memory(
    device: torch.device, *batches: GraphBatch, doing: str, where: str, fix: str
) -> Iterator[None]:
    """Turn a lack of memory inside a `with` block into an error for the user.

    Args:
        device: the device that works on the batches.
        batches: the batch, and a second one if it is joined with the first.
        doing: what is being done, e.g. "in a prediction".
        where: `where` of the error.
        fix: `fix` of the error.

    Raises:
        OutOfMemory: torch ran out of memory.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"ried to allocate ([\d.]+ \w+)", str(error))
        tried = f" (tried to allocate {asked[1]})" if asked else ""
        sizes = ", joined by ".join(_size(batch) for batch in batches)
        # The traceback still holds the tensors of the failed pass. Free them for what comes next.
        clear_frames(error.__traceback__)
        raise OutOfMemory(
            f"out of memory on {device} {doing}, with {sizes}{tried}", where=where, fix=fix
        ) from None


def _size(batch: GraphBatch) -> str:
    """Say how many frames, atoms and edges a batch has."""
    frames = counted(batch.n_graphs, "frame")
    return f"{frames} of {counted(len(batch.numbers), 'atom')} and {counted(batch.n_edges, 'edge')}"


def repeatable_torchscript() -> None:
    """Make compiled functions give the same numbers at every call on a CPU.

    TorchScript's profiling executor optimises a function again after its first calls, which changes
    the last digits of results. On a machine with a GPU nothing is changed.
    """
    if not torch.cuda.is_available():
        torch._C._set_graph_executor_optimize(False)
