"""Import e3nn for this backend, and control torch's random state while networks are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pestle.foundations.devices import repeatable_torchscript

# e3nn 0.4 reads its constants from a file that contains a `slice`. torch 2.6 and later refuse such
# a file unless they are told that a slice is safe.
with torch.serialization.safe_globals([slice]):
    from e3nn import o3
repeatable_torchscript()

__all__ = ["making", "o3"]


@contextmanager
def making(seed: int = 0) -> Iterator[None]:
    """Make a network inside this `with` block.

    Its random weights come from `seed`, and they are float32. torch's random state and default
    dtype have no influence, and they are the same after the block as before.

    Args:
        seed: seed of the random weights.
    """
    state, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
        torch.set_default_dtype(dtype)
