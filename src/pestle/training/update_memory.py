"""Memory that the largest update needs, estimated from a small one before the large one is tried.

A process that takes more memory than a machine has is killed, or stops the whole machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pestle.structures.graphs import collate
from pestle.training.loop import Trainer
from pestle.training.mixing import Draw
from pestle.training.trial_update import largest_draw

#: Batches with fewer edges are not estimated: they need a few gigabytes at most.
SMALL = 20_000
#: Most edges of the frame that is tried, where the data have such a small one.
TRIED = 2_000
#: Peak of an update divided by the tensors that its backward pass keeps.
PEAK = 1.2


@dataclass(frozen=True)
class Need:
    """Memory of the largest update.

    Attributes:
        edges: edges of the largest batch.
        bytes: estimate of its memory.
        free: memory of the machine that is free, bytes.
        fitting: edges of a batch that would take half of the free memory.
    """

    edges: int
    bytes: float
    free: float
    fitting: int

    def line(self, batch_size: int) -> str:
        """Say what is needed, what there is, and which setting bounds it.

        Args:
            batch_size: frames in a batch.
        """
        return (
            f"the largest batch ({self.edges:,} edges) needs about {self.bytes / 2**30:.1f} GiB, "
            f"and {self.free / 2**30:.1f} GiB are free; bound it with --set "
            f"train.max_edges={self.fitting} or train.batch_size (now {batch_size})"
        )


def too_large(trainer: Trainer) -> Need | None:
    """Return the memory of the largest update if it exceeds what is free.

    Only a small frame is calculated, alone and twice: what does not grow with the batch, such as
    tensors made of the weights, is counted once. Nothing is changed.

    Args:
        trainer: trainer of the run before its first update.

    Returns:
        The need; `None` if it fits, on a GPU (which says itself what does not fit), or where the
        system does not tell what is free.
    """
    free = free_memory()
    largest = largest_draw(trainer).n_edges
    if trainer.device.type != "cpu" or free is None or largest <= SMALL:
        return None
    graphs = trainer.data.train_graphs
    edges = sorted((graphs[k].n_edges, k) for k in range(len(graphs)) if graphs[k].n_edges)
    # The largest of the small ones is most like a whole batch: a dimer has few edges an atom.
    n_edges, tried = next((one for one in reversed(edges) if one[0] <= TRIED), edges[0])
    alone, twice = (
        kept_bytes(trainer, Draw(collate([graphs[tried]] * copies))) for copies in (1, 2)
    )
    per_edge = PEAK * (twice - alone) / n_edges
    constant = PEAK * (2 * alone - twice)
    needed = constant + largest * per_edge
    if needed <= free:
        return None
    return Need(largest, needed, free, max(1, int((free / 2 - constant) / per_edge)))


def kept_bytes(trainer: Trainer, draw: Draw) -> int:
    """Return the bytes of the tensors that the backward pass of an update keeps.

    Args:
        trainer: trainer of the run before its first update.
        draw: the graphs of the update.
    """
    weights = {p.untyped_storage().data_ptr() for p in trainer.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trainer.compute_loss(draw, trainer.weights)
    return sum(kept.values())


def free_memory() -> float | None:
    """Return the bytes of memory that are free for this process; `None` if nothing tells them."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024.0 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    try:  # the limit of a container or of a batch job
        limit = float((group / "memory.max").read_text())
        return min(free, limit - float((group / "memory.current").read_text()))
    except (OSError, ValueError):  # "max" is no limit
        return free
