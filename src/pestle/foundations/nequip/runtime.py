"""e3nn as this backend uses it, imported once."""

from __future__ import annotations

import torch

# e3nn 0.4 keeps its constants in a file that torch 2.6 and later read only if told that a slice
# in it is harmless.
with torch.serialization.safe_globals([slice]):
    from e3nn import o3

__all__ = ["o3"]
