"""The models that `test_backends.py` holds to the contract (a further backend is one entry), and
the model of `examples/density_model.py`, which has the contract alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import foundation_factory
import nequip_factory
from pestle.foundations.interface import Foundation


def _example(name: str) -> ModuleType:
    """A script of the folder `examples`, imported."""
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


density = _example("density_model")


@dataclass(frozen=True)
class Sample:
    """A small model with random weights.

    Attributes:
        backend: that it belongs to.
        make: the model in float64, the same at every call: the elements of
            `foundation_factory.ELEMENTS`, one head `Default`, single atoms that differ from
            their E0s, at least two layers.
        first_scalars: channels of its descriptors that come from the first layer.
        one_file_per_model: whether its own files hold one head, all elements, and E0s in float32.
    """

    backend: str
    make: Callable[[], Foundation]
    first_scalars: int
    one_file_per_model: bool = False


SAMPLES = {
    "mace": Sample("mace", lambda: foundation_factory.foundation("residual"), first_scalars=4),
    "nequip": Sample("nequip", nequip_factory.foundation, first_scalars=8, one_file_per_model=True),
    "nequip without layer norm": Sample(
        "nequip",
        lambda: nequip_factory.foundation(layer_norm=False),
        first_scalars=8,
        one_file_per_model=True,
    ),
}
