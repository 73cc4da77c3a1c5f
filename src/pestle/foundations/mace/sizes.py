"""Check that a described MACE network has possible sizes, before it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch

from pestle.errors import PestleError
from pestle.foundations.mace.runtime import o3

#: Largest sizes: a file with larger ones is damaged. All published models are far below them.
MAX_INTERACTIONS, MAX_CORRELATION, MAX_DEGREE, MAX_WIDTH, MAX_BASIS = 32, 6, 8, 8192, 1024
MAX_HEADS, MAX_HIDDEN_LAYERS, MAX_TERMS = 200, 32, 64


def require_sizes(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that a described network does not need more numbers than its file holds.

    A damaged file could otherwise ask for more memory than there is.

    Args:
        description: the description of the network in a file (`architecture.describe`).
        tensors: the weights and buffers in the file.

    Raises:
        PestleError: a size is wrong or out of range, or the network needs more numbers.
    """
    try:
        needed = _least(description)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise PestleError(
            f"it does not describe a network: {reason}"[:300], where="architecture.json"
        ) from error
    held = sum(tensor.numel() for tensor in tensors.values())
    if needed > held:
        raise PestleError(
            f"it describes a network of at least {needed:,} numbers, and the weights are {held:,}",
            where="architecture.json",
            fix="The file is damaged, or of another model.",
        )


def _least(d: Mapping[str, Any]) -> int:
    """Check every size and return how many numbers the network has at least."""
    layers = _count(d, "num_interactions", 1, MAX_INTERACTIONS)
    degree = _count(d, "max_ell", 0, MAX_DEGREE)
    basis = _count(d, "num_bessel", 1, MAX_BASIS)
    _count(d, "num_polynomial_cutoff", 1, MAX_BASIS)
    correlation = [_within(n, "correlation", 1, MAX_CORRELATION) for n in d["correlation"]]
    neighbours = [_number(x, "avg_num_neighbors") for x in d["avg_num_neighbors"]]
    if not len(correlation) == len(neighbours) == layers:
        raise ValueError(f"num_interactions is {layers}, other lists have another length")
    _number(d["r_max"], "r_max")
    _within(len(d["heads"]), "the number of heads", 1, MAX_HEADS)
    hidden = _multiplicities(d["hidden_irreps"], "hidden_irreps")
    _multiplicities(d["MLP_irreps"], "MLP_irreps")
    if d["edge_irreps"] is not None:
        _multiplicities(d["edge_irreps"], "edge_irreps")
    for spec in (d["embedding_specs"] or {}).values():
        for name in ("num_classes", "emb_dim", "in_dim"):
            if name in spec:
                _count(spec, name, 1, MAX_WIDTH)
    widths = [_within(width, "radial_MLP", 1, MAX_WIDTH) for width in d["radial_MLP"]]
    _within(len(widths), "the length of radial_MLP", 0, MAX_HIDDEN_LAYERS)
    radial = sum(a * b for a, b in pairwise([basis, *widths]))
    products = (layers - 1) * sum(mul**2 for mul in hidden)
    coupling = sum((degree + 1) ** (2 * order) for order in correlation)
    return layers * radial + products + len(d["atomic_numbers"]) * max(hidden) + coupling


def _multiplicities(text: Any, name: str) -> list[int]:
    """Check irreps given as text and return their numbers of channels."""
    if not isinstance(text, str) or text.count("+") >= MAX_TERMS:
        raise ValueError(f"{name} are {text!r}")
    irreps = o3.Irreps(text)
    for mul, irrep in irreps:
        _within(mul, name, 1, MAX_WIDTH)
        _within(irrep.l, f"the degree of {name}", 0, MAX_DEGREE)
    if not len(irreps):
        raise ValueError(f"{name} are empty")
    return [mul for mul, _ in irreps]


def _count(d: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """Return an entry that must be a whole number from `least` to `most`."""
    return _within(d[name], name, least, most)


def _within(value: Any, name: str, least: int, most: int) -> int:
    """Return a value that must be a whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}")
    return value


def _number(value: Any, name: str) -> float:
    """Return a value that must be a positive real number below 1e6."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 < value < 1e6:
        raise ValueError(f"{name} is {value!r}")
    return float(value)
