"""Compute constants of mace and e3nn only once in a process.

mace and e3nn compute them anew for every block of every network. They are the coupling coefficients
of the products and the second moments that scale activation functions, and they depend only on
irreps, an order and an activation function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import torch

from pestle.foundations.mace.runtime import activation_scales, symmetric_contraction


def _fresh(value: Any) -> Any:
    """Copy the tensors in a value, because a network uses them as its own."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    return [_fresh(v) for v in value] if isinstance(value, list) else value


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that remembers the results of another one and returns copies of them."""
    computed = cache(function)

    @wraps(function)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        return _fresh(computed(*args, **kwargs))

    return remembered


#: Module and name under which mace and e3nn find each function, and what replaces it.
_REMEMBERED = [
    (symmetric_contraction, "U_matrix_real", _once(symmetric_contraction.U_matrix_real)),
    (activation_scales, "moment", _once(activation_scales.moment)),
]


@contextmanager
def remembered_constants() -> Iterator[None]:
    """Let networks that are built inside this `with` block take these constants from memory."""
    before = [getattr(module, name) for module, name, _ in _REMEMBERED]
    try:
        for module, name, function in _REMEMBERED:
            setattr(module, name, function)
        yield
    finally:
        for (module, name, _), function in zip(_REMEMBERED, before, strict=True):
            setattr(module, name, function)
