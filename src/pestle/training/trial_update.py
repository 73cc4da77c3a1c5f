"""A trial update before training: its duration, and whether the largest batch fits into memory."""

from __future__ import annotations

import time

import torch

from pestle.training.failures import fits_update
from pestle.training.loop import Trainer
from pestle.training.mixing import SAMPLED, Draw, Position
from pestle.training.watching import peak_memory


def timed_update(trainer: Trainer) -> tuple[float, float]:
    """Measure the duration and memory of an update, without changing anything.

    The largest batch is tried first: it needs most memory, and includes the time of compilation.
    Then the first batch of the training is timed and, if replay is added to every k-th update, the
    second.

    Args:
        trainer: trainer of the run before its first update.

    Returns:
        Mean time of a forward and backward pass in seconds, and peak memory in MiB.

    Raises:
        OutOfMemory: the largest batch does not fit into memory.
    """
    first, after = trainer.mixture.draw(Position())
    draws = [largest_draw(trainer), first]
    if trainer.mixture.every > 1:
        draws.append(trainer.mixture.draw(after)[0])
    seconds = []
    for draw in draws:
        started = time.perf_counter()
        with fits_update(trainer.device, draw, trainer.settings, "in a trial update"):
            loss = trainer.compute_loss(draw, trainer.weights)
            if torch.isfinite(loss):
                torch.autograd.backward(loss, inputs=trainer.parameters)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    trainer.optimizer.zero_grad(set_to_none=True)
    every = trainer.mixture.every
    mean = (seconds[1] + (every - 1) * seconds[-1]) / every
    return mean, peak_memory(trainer.device)


def largest_draw(trainer: Trainer) -> Draw:
    """Return the draw with the most edges in the first pass over the frames.

    Args:
        trainer: trainer of the run before its first update.
    """
    largest, position = None, Position()
    for _ in range(min(trainer.mixture.laps.steps(), SAMPLED)):
        draw, position = trainer.mixture.draw(position)
        if largest is None or draw.n_edges > largest.n_edges:
            largest = draw
    assert largest is not None
    return largest
