"""Loading of models for all commands: foundations, fine-tuned models and adapters."""

from __future__ import annotations

import shlex
from pathlib import Path

import torch

from pestle.adaptation.adapter_file import load_adapter, read_header
from pestle.errors import PestleError
from pestle.foundations import Untrusted, catalogue, load_foundation
from pestle.foundations.interface import Foundation
from pestle.foundations.safe_files import CARD
from pestle.records.card import Card


def load_model(
    name: str,
    *,
    foundation: str | None = None,
    trust: bool = False,
    dtype: torch.dtype | None = None,
) -> Foundation:
    """Load a model by its name.

    Args:
        name: run folder, model folder, `.model` file (with trust), `.nqx` file, catalogue name, or
            an `adapter.safetensors`.
        foundation: foundation of an adapter; by default the one that its file names.
        trust: allow `.model` files that the user names. A file that only an adapter names must have
            been trusted before.
        dtype: precision of the network; by default that of the file.

    Returns:
        The model; an adapter is merged with its foundation.

    Raises:
        PestleError: there is no such model, or the adapter belongs to another foundation.
    """
    path = Path(name).expanduser()
    if path.suffix != ".safetensors" or catalogue.find(name) is not None or not path.is_file():
        return load_foundation(name, trust=trust, dtype=dtype)
    if foundation is not None:
        base = load_foundation(foundation, trust=trust)
    else:
        base = _of_header(read_header(path).foundation, path, trust=trust)
    merged = load_adapter(path, base).merged()
    if dtype is None or dtype == merged.dtype:
        return merged
    return merged.with_dtype(dtype)


def read_card(path: Path) -> Card:
    """Read the card of a model that a run made.

    Args:
        path: run folder or model folder.

    Raises:
        PestleError: the folder has no card, or the card is damaged.
    """
    for place in (path, path / "model"):
        if (place / CARD).is_file():
            return Card.read(place / CARD)
    raise PestleError(
        f"it holds no model with a {CARD}, neither directly nor in model/",
        where=str(path),
        fix="Give a run or model folder; `pestle models` alone lists the foundations.",
    )


def _of_header(name: str, adapter: Path, *, trust: bool) -> Foundation:
    """Load the foundation that an adapter names.

    The user trusts the adapter that was typed, but not a pickle to which it points.
    """
    try:
        return load_foundation(name, trust=trust and catalogue.find(name) is not None)
    except Untrusted as error:
        raise PestleError(
            f"its foundation is {error.where}, a pickled model that was never trusted on this "
            "machine",
            where=str(adapter),
            fix="If you trust where that file comes from, trust it once by its name: pestle "
            f"trust {shlex.quote(str(error.where))}",
        ) from error
