"""Copy mace networks, to work with or to write to files.

Most of a network is code that e3nn generates, a graph of torch operations for each layer. Pestle's
kernels run in its place, so `architecture.build` does not compile these graphs. They are compiled
only in a copy for a file, as mace does when it builds a network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from pestle.foundations.mace.runtime import EmptyParam, Network


def clone(network: Network) -> Network:
    """Make an independent copy of a network without compiling anything.

    Only graphs that hold no tensor are shared with the original; they never change.

    Args:
        network: the network; not changed.
    """
    memo = _placeholders(network)
    memo |= {id(m): m for m in network.modules() if _is_graph(m) and not _has_tensors(m)}
    # When a layer is copied, e3nn compiles the graphs named in its `__codegen__`. The names are
    # therefore taken away while the network is copied.
    named = [m for m in network.modules() if _is_uncompiled(m)]
    held = [m.__dict__.pop("__codegen__") for m in named]
    try:
        made = copy.deepcopy(network, memo)
    finally:
        for layer, names in zip(named, held, strict=True):
            layer.__dict__["__codegen__"] = names
    for layer, names in zip(named, held, strict=True):
        memo[id(layer)].__dict__["__codegen__"] = list(names)
    return made


def compiled(network: Network) -> Network:
    """Make an independent copy of a network with compiled code, as mace builds a network.

    Args:
        network: the network; not changed.
    """
    return copy.deepcopy(network, _placeholders(network))


def _placeholders(network: Network) -> dict[int, Any]:
    """Copy mace's placeholders for paths that do not exist, because `deepcopy` cannot copy them.

    Returns:
        The copies by the `id` of the originals, as the memo of `deepcopy`.
    """
    return {id(p): EmptyParam(p.data) for p in network.parameters() if isinstance(p, EmptyParam)}


def _is_graph(module: torch.nn.Module) -> bool:
    """Return whether a module is a graph of torch operations."""
    return isinstance(module, torch.fx.GraphModule)


def _has_tensors(module: torch.nn.Module) -> bool:
    """Return whether a module has parameters or buffers."""
    return any(True for _ in (*module.parameters(), *module.buffers()))


def _is_uncompiled(layer: torch.nn.Module) -> bool:
    """Return whether a module is a layer of e3nn whose code is not compiled."""
    names = layer.__dict__.get("__codegen__", ())
    return bool(names) and all(_is_graph(getattr(layer, name)) for name in names)
