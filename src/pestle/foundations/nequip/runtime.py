"""e3nn as this backend uses it, imported once, and torch's state where networks are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pestle.foundations.devices import repeatable_torchscript

# e3nn 0.4 keeps its constants in a file that torch 2.6 and later read only if told that a slice
# in it is harmless.
with torch.serialization.safe_globals([slice]):
    from e3nn import o3
repeatable_torchscript()

__all__ = ["making", "o3"]


@contextmanager
def making(seed: int = 0) -> Iterator[None]:
    """A block that makes a network: its random weights come from `seed`, in float32. torch's random
    state and default dtype neither matter nor change."""
    state, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
        torch.set_default_dtype(dtype)
