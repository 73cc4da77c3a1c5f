"""Files that would touch a marker if anything in them ran."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch


class Trap:
    """Its pickle touches a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def pickled(marker: Path) -> bytes:
    """A plain pickle."""
    return pickle.dumps(Trap(marker))


def write_model(path: Path, marker: Path) -> Path:
    """A PyTorch file, as `.model` files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": Trap(marker)}, path)
    return path
