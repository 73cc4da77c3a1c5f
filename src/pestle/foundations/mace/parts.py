"""Name the parts of a MACE network and list its linear layers."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from pestle.foundations.capabilities import LinearBlock, LinearLayer
from pestle.foundations.mace.runtime import FullyConnectedLayer, Network, o3

_NUMBERED = re.compile(r"(interactions|products|readouts)\.(\d+)\.")


def group_of(name: str) -> str:
    """Return the part of the architecture that a parameter belongs to.

    Besides the parts of `capabilities.Parts` there are two more. `readout 0` is the readout of the
    embedding that some charge-aware models have. `long range` is the electrostatics of MACELES and
    PolarMACE.

    Args:
        name: dotted name of the parameter in the mace network.
    """
    numbered = _NUMBERED.match(name)
    if numbered:
        return f"{numbered[1].removesuffix('s')} {int(numbered[2]) + 1}"
    if name.startswith("embedding_readout."):
        return "readout 0"
    first = name.split(".", 1)[0]
    if first in ("node_embedding", "radial_embedding", "joint_embedding", "pair_repulsion_fn"):
        return "embedding"
    return "long range"


def _order(group: str) -> tuple[int, int, int]:
    """Return a key that sorts the parts in the order of the forward pass."""
    kind, _, number = group.rpartition(" ")
    if group == "embedding":
        return (0, 0, 0)
    if kind in ("interaction", "product"):
        return (1, int(number), 0 if kind == "interaction" else 1)
    return (2, int(number), 0) if kind == "readout" else (3, 0, 0)


def parameter_groups(network: Network, *, prefix: str) -> dict[str, list[str]]:
    """Return the names of the parameters by part, in the order of the forward pass.

    Args:
        network: the mace network.
        prefix: text that is put before every name.
    """
    groups: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        groups.setdefault(group_of(name), []).append(prefix + name)
    return {group: groups[group] for group in sorted(groups, key=_order)}


def _equivariant_blocks(layer: o3.Linear) -> tuple[LinearBlock, ...]:
    """List the irrep blocks of a linear layer of e3nn.

    e3nn stores one matrix [n_in, n_out] per pair of input and output (a path). Consecutive paths
    into the same output with the same path weight lie below each other in the flat weight. They
    form one matrix and become one block.
    """
    blocks: list[LinearBlock] = []
    offset, last_output = 0, None
    for instruction in layer.instructions:
        if instruction.i_in < 0:  # a bias
            continue
        n_in, n_out = instruction.path_shape
        irrep = str(layer.irreps_in[instruction.i_in].ir)
        weight = float(instruction.path_weight)
        if blocks and last_output == instruction.i_out and blocks[-1].path_weight == weight:
            blocks[-1] = replace(blocks[-1], n_in=blocks[-1].n_in + n_in)
        elif n_in and n_out:
            blocks.append(LinearBlock(irrep, n_in, n_out, offset, weight))
        offset += n_in * n_out
        last_output = instruction.i_out
    return tuple(blocks)


def linear_layers(network: Network, *, prefix: str) -> list[LinearLayer]:
    """List every linear layer that has weights of its own, in the order of the network's modules.

    Args:
        network: the mace network.
        prefix: text that is put before every name.
    """
    layers = []
    for name, module in network.named_modules():
        parameter = f"{prefix}{name}.weight"
        if isinstance(module, o3.Linear) and module.internal_weights and module.weight_numel:
            layers.append(LinearLayer(parameter, "equivariant", _equivariant_blocks(module)))
        elif isinstance(module, FullyConnectedLayer):
            # e3nn divides the weight by the root of the number of inputs times their variance.
            # Without an activation the factor also holds the standard deviation of the output; with
            # one, the output is multiplied by that after the activation.
            variance = module.var_in if module.act is not None else module.var_in / module.var_out
            n_in, n_out = module.weight.shape
            block = LinearBlock("0e", n_in, n_out, 0, (n_in * variance) ** -0.5)
            layers.append(LinearLayer(parameter, "scalar", (block,)))
        elif isinstance(module, torch.nn.Linear):
            block = LinearBlock("0e", module.in_features, module.out_features, 0, 1.0, True)
            layers.append(LinearLayer(parameter, "scalar", (block,)))
    return layers
