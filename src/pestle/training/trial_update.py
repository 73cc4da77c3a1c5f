"""One update tried before training: how long it takes, and whether the largest fits the memory."""

from __future__ import annotations

import time

import torch

from pestle.training.failures import fits_update
from pestle.training.loop import Trainer
from pestle.training.mixing import SAMPLED, Draw, Position
from pestle.training.watching import peak_memory


def timed_update(trainer: Trainer) -> tuple[float, float]:
    """(seconds, MiB) of a forward and backward pass, the mean of an update; changes nothing.

    The largest batch comes first: it sets the memory and pays for compilation. Timed is the first
    batch of the training, and where replay joins every k-th update also the second.

    Raises:
        OutOfMemory: the largest batch does not fit.
    """
    first, after = trainer.mixture.draw(Position())
    draws = [_largest_draw(trainer), first]
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


def _largest_draw(trainer: Trainer) -> Draw:
    """The draw with the most edges among the first lap's."""
    largest, position = None, Position()
    for _ in range(min(trainer.mixture.laps.steps(), SAMPLED)):
        draw, position = trainer.mixture.draw(position)
        if largest is None or draw.n_edges > largest.n_edges:
            largest = draw
    assert largest is not None
    return largest
