"""Any model that a command takes: whatever is a foundation, or an adapter with its foundation."""

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
    """The model of this name.

    Args:
        name: run folder, model folder, `.model` file (with trust), `.nqx` file, catalogue name, or
            an `adapter.safetensors`.
        foundation: what an adapter was made on; by default the name that it holds.
        trust: allow `.model` files that the user names; one that only an adapter names must have
            been trusted before.
        dtype: precision of the network; by default that of the file.

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
    """The card of a model that a run made.

    Args:
        path: run folder or model folder.

    Raises:
        PestleError: there is none, or it is damaged.
    """
    for place in (path, path / "model"):
        if (place / CARD).is_file():
            return Card.read(place / CARD)
    raise PestleError(
        f"it holds no model with a {CARD}, there or in model/",
        where=str(path),
        fix="Give a run or model folder; `pestle models` alone lists the foundations.",
    )


def _of_header(name: str, adapter: Path, *, trust: bool) -> Foundation:
    """The foundation that an adapter names. What the user trusts is the adapter that was typed, not
    a file that it points to."""
    try:
        return load_foundation(name, trust=trust and catalogue.find(name) is not None)
    except Untrusted as error:
        raise PestleError(
            f"it says that it was made on {error.where}, which is a pickled model that was never "
            "trusted on this machine",
            where=str(adapter),
            fix="If you trust where that file comes from, trust it once by its name: pestle "
            f"trust {shlex.quote(str(error.where))}",
        ) from error
