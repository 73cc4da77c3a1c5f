"""The one door to mace-torch and e3nn: import order, environment, default dtype, random numbers.

Every file of this folder takes mace and e3nn from here. `mace` must come before `e3nn` (e3nn 0.4.4
alone cannot read its own constants with torch 2.6 or newer), and importing mace sets
`TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` for the whole process, which would make every later `torch.load`
without `weights_only=True` run code from its file. The variable is put back as it was.
`mace.calculators` sets it again when it is imported, because its calculator needs it.
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
# mace prints which accelerations are missing; standard output is for tables and JSON.
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
# e3nn's compiled blocks make TorchScript say this once for every one that is built.
warnings.filterwarnings("ignore", message="The TorchScript type system doesn't support")
if _before is None:
    os.environ.pop(_VARIABLE, None)
else:
    os.environ[_VARIABLE] = _before

#: A mace network or a block of one. torch types every attribute of a module as tensor or module, so
#: naming the class would say less than this.
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
    """torch's default dtype inside the block; mace builds, and masks heads, in that one."""
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
    """A block in which e3nn generates the code of its layers but does not compile it."""
    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        set_optimization_defaults(jit_script_fx=before)


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """CPU random numbers from `seed` inside the block; the global state is as before after it."""
    before = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
    try:
        yield
    finally:
        torch.random.set_rng_state(before)
