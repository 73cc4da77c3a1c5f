"""`pestle`, with the training frames in the order in which mace_run_train draws them.

    python benchmarks/in_mace_order.py SEED finetune …

A control for `versus_mace.py --mace-order`: with the order shared, what is left between the two
programs is not luck. mace_run_train shuffles with a torch DataLoader whose generator has its
`--seed`, and passes over the data twice (for its statistics) before the first epoch.
"""

from __future__ import annotations

import sys
from functools import cache

import torch
from torch.utils.data import DataLoader

from pestle.cli import app
from pestle.training.batches import BatchPlan

PASSES_BEFORE_TRAINING = 2


def follow(seed: int) -> None:
    """Let every BatchPlan draw mace's batches of this seed."""

    @cache
    def loader(n_frames: int, batch_size: int) -> tuple[DataLoader, list[list[list[int]]]]:
        generator = torch.Generator().manual_seed(seed)
        frames = list(range(n_frames))
        # mace drops the last batch where it is not full.
        return DataLoader(
            frames,  # type: ignore[arg-type]
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            generator=generator,
        ), []

    def indices(plan: BatchPlan, epoch: int) -> list[list[int]]:
        source, passes = loader(len(plan.graphs), plan.batch_size)
        while len(passes) < epoch + PASSES_BEFORE_TRAINING:
            passes.append([batch.tolist() for batch in source])
        return passes[epoch + PASSES_BEFORE_TRAINING - 1]

    BatchPlan.indices = indices  # type: ignore[method-assign]


if __name__ == "__main__":
    follow(int(sys.argv.pop(1)))
    app()
