"""Constants that mace and e3nn compute anew for every network, computed once in a process.

They depend on irreps, an order and an activation function alone: the coupling coefficients of the
products, and the second moments that scale activations. A build computes the same ones for several
of its blocks, and the next build for all of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import torch

from pestle.foundations.mace.runtime import activation_scales, symmetric_contraction


def _fresh(value: Any) -> Any:
    """Copies of the tensors in a value: a network takes them over as its own."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    return [_fresh(v) for v in value] if isinstance(value, list) else value


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    computed = cache(function)

    @wraps(function)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        return _fresh(computed(*args, **kwargs))

    return remembered


#: Where the functions are looked up while a network is built.
_REMEMBERED = [
    (symmetric_contraction, "U_matrix_real", _once(symmetric_contraction.U_matrix_real)),
    (activation_scales, "moment", _once(activation_scales.moment)),
]


@contextmanager
def remembered_constants() -> Iterator[None]:
    """A block in which networks that are built take these constants from memory."""
    before = [getattr(module, name) for module, name, _ in _REMEMBERED]
    try:
        for module, name, function in _REMEMBERED:
            setattr(module, name, function)
        yield
    finally:
        for (module, name, _), function in zip(_REMEMBERED, before, strict=True):
            setattr(module, name, function)
