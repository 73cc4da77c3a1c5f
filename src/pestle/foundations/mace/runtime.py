"""Import mace-torch and e3nn for all files of this folder.

`mace` must be imported before `e3nn`, because e3nn 0.4.4 alone cannot read its own constants with
torch 2.6 or later. Importing mace sets the environment variable `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`
for the whole process. With it, every later `torch.load` without `weights_only=True` would run code
from its file, so the variable is reset here. `mace.calculators` sets it again when it is imported,
because its calculator needs it.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeAlias

import torch

from pestle.foundations.devices import repeatable_torchscript

_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_before = os.environ.get(_VARIABLE)
# mace prints which optional packages are missing, but standard output is for tables and JSON.
with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
    warnings.simplefilter("ignore")
    import mace  # noqa: F401  (first: see above)
    from e3nn import get_optimization_defaults, o3, set_optimization_defaults
    from e3nn.math import _normalize_activation as activation_scales
    from e3nn.nn import FullyConnectedNet
    from e3nn.nn._fc import _Layer as FullyConnectedLayer
    from mace import modules as mace_modules
    from mace.modules import blocks, extensions, models, radial, symmetric_contraction
    from mace.modules.symmetric_contraction import EmptyParam
repeatable_torchscript()
# TorchScript gives this warning for every block of e3nn that is compiled.
warnings.filterwarnings("ignore", message="The TorchScript type system doesn't support")
if _before is None:
    os.environ.pop(_VARIABLE, None)
else:
    os.environ[_VARIABLE] = _before

#: A mace network or a block of one. It is `Any`, because torch types every attribute of a module as
#: a tensor or a module, so that the name of the class would not help the type checker.
Network: TypeAlias = Any

__all__ = [
    "EmptyParam",
    "FullyConnectedLayer",
    "FullyConnectedNet",
    "Network",
    "activation_scales",
    "blocks",
    "default_dtype",
    "extensions",
    "local_seed",
    "mace_modules",
    "models",
    "o3",
    "radial",
    "symmetric_contraction",
    "uncompiled",
]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype inside this `with` block.

    mace builds networks and masks heads in the default dtype.

    Args:
        dtype: the dtype inside the block.
    """
    before = torch.get_default_dtype()
    if before == dtype:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let e3nn generate the code of its layers inside this `with` block without compiling it."""
    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        set_optimization_defaults(jit_script_fx=before)


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Take torch's random numbers on the CPU from `seed` inside this `with` block.

    After the block the random state is the same as before it.

    Args:
        seed: the seed.
    """
    before = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
    try:
        yield
    finally:
        torch.random.set_rng_state(before)
