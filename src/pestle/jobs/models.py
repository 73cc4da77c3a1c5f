"""Any model that a command takes: whatever is a foundation, or an adapter with its foundation."""

from __future__ import annotations

from pathlib import Path

import torch

from pestle.adaptation.adapter_file import load_adapter, read_header
from pestle.foundations import catalogue, load_foundation
from pestle.foundations.interface import Foundation


def load_model(
    name: str,
    *,
    foundation: str | None = None,
    trust: bool = False,
    dtype: torch.dtype | None = None,
) -> Foundation:
    """The model of this name.

    Args:
        name: run folder, model folder, `.model` file (with trust), `.nqx` file, catalogue name, or
            an `adapter.safetensors`.
        foundation: what an adapter was made on; by default the name that it holds.
        trust: allow `.model` files.
        dtype: precision of the network; by default that of the file.

    Raises:
        PestleError: there is no such model, or the adapter belongs to another foundation.
    """
    path = Path(name).expanduser()
    if path.suffix != ".safetensors" or catalogue.find(name) is not None or not path.is_file():
        return load_foundation(name, trust=trust, dtype=dtype)
    base = load_foundation(foundation or read_header(path).foundation, trust=trust)
    merged = load_adapter(path, base).merged()
    if dtype is None or dtype == merged.dtype:
        return merged
    return merged.with_dtype(dtype)
