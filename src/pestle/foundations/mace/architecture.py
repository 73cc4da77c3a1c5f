"""Describe a MACE network as plain data (`describe`) and make it again (`build`).

A description can be written as JSON. It names classes and functions only through the tables below,
so that no code from a file runs when a description is read. Weights and buffers are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pestle.errors import PestleError
from pestle.foundations.mace import long_range
from pestle.foundations.mace.constants import remembered_constants
from pestle.foundations.mace.copies import clone
from pestle.foundations.mace.runtime import (
    FullyConnectedNet,
    Network,
    blocks,
    default_dtype,
    extensions,
    local_seed,
    models,
    o3,
    radial,
    uncompiled,
)

CLASSES: dict[str, type] = {
    "MACE": models.MACE,
    "ScaleShiftMACE": models.ScaleShiftMACE,
    "MACELES": extensions.MACELES,
    "PolarMACE": extensions.PolarMACE,
}
INTERACTIONS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        blocks.RealAgnosticInteractionBlock,
        blocks.RealAgnosticResidualInteractionBlock,
        blocks.RealAgnosticDensityInteractionBlock,
        blocks.RealAgnosticDensityResidualInteractionBlock,
        blocks.RealAgnosticAttResidualInteractionBlock,
        blocks.RealAgnosticResidualNonLinearInteractionBlock,
    )
}
# Classes of the last readout. All earlier layers have a linear readout. mace's other readout
# classes have different arguments and cannot be used in its energy models.
READOUTS: dict[str, type] = {
    cls.__name__: cls for cls in (blocks.NonLinearReadoutBlock, blocks.NonLinearBiasReadoutBlock)
}
GATES: dict[str, Callable | None] = {
    "None": None,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "sigmoid": torch.sigmoid,
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
    "softplus": torch.nn.functional.softplus,
}
RADIAL_TYPES = {
    "bessel": radial.BesselBasis,
    "gaussian": radial.GaussianBasis,
    "chebyshev": radial.ChebychevBasis,
}
TRANSFORMS = {"Agnesi": radial.AgnesiTransform, "Soft": radial.SoftTransform}
#: Modules whose tensors mace keeps as buffers or, if this is asked for, as trainable parameters.
RADIAL_MODULES = (
    "radial_embedding.bessel_fn",
    "radial_embedding.distance_transform",
    "pair_repulsion_fn",
)
#: Endings of buffers that older versions of mace did not store; a rebuilt network computes them.
_DERIVED = ("output_mask", "weights_max_zeroed", "_zeroed")


def unsupported(what: str) -> PestleError:
    """Make the error for a model that Pestle cannot describe.

    Args:
        what: what is not supported, as a clause.
    """
    return PestleError(
        f"this model cannot be described: {what}",
        fix="Pestle reads MACE energy models as mace-torch 0.3.16 builds them.",
    )


def _name_in(table: Mapping[str, Any], value: Any, role: str) -> str:
    """Return the name of a value in a table; raise a `PestleError` if it is not there."""
    for name, known in table.items():
        if known is value:
            return name
    raise unsupported(f"{role} {getattr(value, '__name__', value)!r} is unknown")


def _scalar_widths(interaction: Network) -> list[int]:
    """Return the hidden widths of the radial network of one interaction."""
    net = interaction.conv_tp_weights
    if isinstance(net, FullyConnectedNet):
        return [int(h) for h in net.hs[1:-1]]
    if isinstance(net, radial.RadialMLP):
        return [m.out_features for m in net.net if isinstance(m, torch.nn.Linear)][:-1]
    raise unsupported(f"radial network {type(net).__name__} is unknown")


def _readout(network: Network, n_heads: int) -> dict[str, Any]:
    """Describe the last readout: class, hidden irreps per head and gate."""
    last = network.readouts[-1]
    if isinstance(last, blocks.LinearReadoutBlock):
        if len(network.interactions) > 1:
            raise unsupported("its last readout is linear")
        return {"readout_cls": "NonLinearReadoutBlock", "MLP_irreps": "16x0e", "gate": "silu"}
    readout_cls = _name_in(READOUTS, type(last), "readout class")
    hidden = o3.Irreps(str(last.hidden_irreps))
    if len(hidden) != 1 or hidden[0].mul % n_heads:
        raise unsupported(f"readout width {hidden} does not divide over {n_heads} heads")
    act = last.non_linearity.acts[0]
    return {
        "readout_cls": readout_cls,
        "MLP_irreps": f"{hidden[0].mul // n_heads}x{hidden[0].ir}",
        "gate": _name_in(GATES, None if act is None else act.f, "gate function"),
    }


def _radial(network: Network) -> dict[str, Any]:
    """Describe the radial embedding: basis, cutoff, distance transform and trainable entries."""
    embedding = network.radial_embedding
    transform = getattr(embedding, "distance_transform", None)
    basis = embedding.bessel_fn
    found = {
        "radial_type": _name_in(RADIAL_TYPES, type(basis), "radial basis"),
        "distance_transform": "None"
        if transform is None
        else _name_in(TRANSFORMS, type(transform), "distance transform"),
        "num_bessel": int(embedding.out_dim),
        "num_polynomial_cutoff": int(embedding.cutoff_fn.p.item()),
        "apply_cutoff": bool(getattr(embedding, "apply_cutoff", True)),
        "pair_repulsion": hasattr(network, "pair_repulsion_fn"),
        "trainable_radial": [
            f"{path}.{name}"
            for path in RADIAL_MODULES
            for name, _ in _module_at(network, path).named_parameters()
        ],
    }
    if isinstance(basis, radial.GaussianBasis):
        found["gaussian_coefficient"] = float(basis.coeff)
    return found


def _module_at(network: Network, path: str) -> Network:
    """Return the submodule at a dotted path, or an empty module if there is none."""
    for part in path.split("."):
        if not hasattr(network, part):
            return torch.nn.Module()
        network = getattr(network, part)
    return network


def _correlation(product: Network) -> int:
    """Return the correlation order of a product block."""
    contraction = getattr(product.symmetric_contractions, "contractions", None)
    if contraction is None:
        raise unsupported("it was converted for cuEquivariance; use the unconverted file")
    return len(contraction[0].weights) + 1


def describe(network: Network) -> dict[str, Any]:
    """Describe a network so that `build` can make the same network again.

    Args:
        network: an energy model of mace.

    Returns:
        Data that JSON can hold.

    Raises:
        PestleError: the network has a class, function or option that the tables do not contain.
    """
    cls = _name_in(CLASSES, type(network), "model class")
    heads = [str(h) for h in (getattr(network, "heads", None) or ["Default"])]
    products, interactions = network.products, network.interactions
    hidden = str(products[0].linear.irreps_out)
    kinds = [_name_in(INTERACTIONS, type(i), "interaction class") for i in interactions]
    widths = [_scalar_widths(i) for i in interactions]
    if len(set(kinds[1:])) > 1 or any(w != widths[0] for w in widths):
        raise unsupported(f"its interactions differ beyond the first: {kinds}, {widths}")
    edge_irreps = getattr(network, "edge_irreps", None)
    scale_shift = getattr(network, "scale_shift", None)
    description: dict[str, Any] = {
        "class": cls,
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "atomic_numbers": [int(z) for z in network.atomic_numbers],
        "heads": heads,
        "r_max": float(network.r_max),
        "max_ell": int(network.spherical_harmonics._lmax),
        "hidden_irreps": hidden,
        "edge_irreps": None if edge_irreps is None else str(edge_irreps),
        "num_interactions": len(interactions),
        "interaction_cls_first": kinds[0],
        "interaction_cls": kinds[-1],
        "correlation": [_correlation(p) for p in products],
        "avg_num_neighbors": [float(i.avg_num_neighbors) for i in interactions],
        "radial_MLP": widths[0],
        "use_reduced_cg": bool(getattr(network, "use_reduced_cg", False)),
        "use_so3": bool(getattr(network, "use_so3", False)),
        "use_agnostic_product": bool(getattr(products[0], "use_agnostic_product", False)),
        "use_last_readout_only": len(network.readouts) < len(interactions),
        "use_edge_irreps_first": bool(getattr(network, "use_edge_irreps_first", False)),
        "keep_last_layer_irreps": len(interactions) > 1
        and o3.Irreps(hidden).lmax > 0
        and str(products[-1].linear.irreps_out) == hidden,
        "embedding_specs": getattr(network, "embedding_specs", None),
        "use_embedding_readout": hasattr(network, "embedding_readout"),
        "scale": None if scale_shift is None else scale_shift.scale.double().tolist(),
        "shift": None if scale_shift is None else scale_shift.shift.double().tolist(),
        **_radial(network),
        **_readout(network, len(heads)),
        **long_range.describe(network),
    }
    try:
        json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise unsupported(f"it holds something that is not plain data ({error})") from error
    return description


def _arguments(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of the mace class."""
    d = description
    elements, heads = d["atomic_numbers"], d["heads"]
    copied = (
        "r_max num_bessel num_polynomial_cutoff max_ell num_interactions pair_repulsion "
        "apply_cutoff use_reduced_cg use_so3 use_agnostic_product use_last_readout_only "
        "use_embedding_readout distance_transform use_edge_irreps_first radial_type correlation "
        "keep_last_layer_irreps"
    )
    arguments = {name: d[name] for name in copied.split()}
    arguments |= {
        "interaction_cls": INTERACTIONS[d["interaction_cls"]],
        "interaction_cls_first": INTERACTIONS[d["interaction_cls_first"]],
        "readout_cls": READOUTS[d["readout_cls"]],
        "gate": GATES[d["gate"]],
        "hidden_irreps": o3.Irreps(d["hidden_irreps"]),
        "MLP_irreps": o3.Irreps(d["MLP_irreps"]),
        "edge_irreps": None if d["edge_irreps"] is None else o3.Irreps(d["edge_irreps"]),
        "radial_MLP": list(d["radial_MLP"]),
        "embedding_specs": d["embedding_specs"],
        "atomic_numbers": list(elements),
        "num_elements": len(elements),
        "heads": list(heads),
        "avg_num_neighbors": d["avg_num_neighbors"][0],
        "atomic_energies": np.zeros((len(heads), len(elements))),
    }
    if d["class"] != "MACE":
        arguments |= {"atomic_inter_scale": d["scale"], "atomic_inter_shift": d["shift"]}
    return arguments | long_range.arguments(d)


def build(description: Mapping[str, Any], *, seed: int = 0) -> Network:
    """Make a network with random weights and zero E0s on the CPU from its description.

    torch's random state and default dtype are the same after it as before. The networks of the last
    two descriptions are kept, and building one of these again takes only as long as a copy.

    Args:
        description: what `describe` gave.
        seed: seed of the random weights.

    Raises:
        PestleError: the description names something unknown, or lacks an entry.
    """
    return clone(_built(json.dumps(description, sort_keys=True), seed))


@lru_cache(maxsize=2)  # a run that reads its best model back builds one of its last two again
def _built(description: str, seed: int) -> Network:
    """Make the network of a description given as JSON.

    The result is kept for the next call. Callers must copy it and never change it.
    """
    d = json.loads(description)
    try:
        dtype = {"float32": torch.float32, "float64": torch.float64}[d["dtype"]]
        network_class, arguments = CLASSES[d["class"]], _arguments(d)
        trainable, neighbours = d["trainable_radial"], d["avg_num_neighbors"]
    except KeyError as error:
        raise PestleError(
            f"the architecture names or misses {error}, which this version of Pestle needs",
            where="architecture.json",
        ) from error
    with local_seed(seed), default_dtype(dtype), remembered_constants(), uncompiled():
        try:
            network = network_class(**arguments)
        except ImportError as error:
            raise PestleError(
                f"a {d['class']} model needs a library that is not installed: {error}"
            ) from error
        network = network.to(dtype)
    for interaction, mean in zip(network.interactions, neighbours, strict=True):
        interaction.avg_num_neighbors = mean
    if "gaussian_coefficient" in d:
        network.radial_embedding.bessel_fn.coeff = d["gaussian_coefficient"]
    for path in trainable:
        if not path.startswith(RADIAL_MODULES):
            raise unsupported(f"trainable entry {path} is not part of the radial embedding")
        module_path, name = path.rsplit(".", 1)
        module = _module_at(network, module_path)
        value = getattr(module, name)
        delattr(module, name)
        module.register_parameter(name, torch.nn.Parameter(value.detach().clone()))
    return network


def load_tensors(network: Network, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy a complete state dictionary into a network of the same architecture, without rounding.

    Args:
        network: the network; changed in place.
        tensors: weights and buffers by name.

    Raises:
        PestleError: names, shapes or precisions differ, which means that the description is not
            that of these weights.
    """
    own = network.state_dict()
    missing = [k for k in own.keys() - tensors.keys() if not k.endswith(_DERIVED)]
    surplus = sorted(tensors.keys() - own.keys())
    shapes = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if missing or surplus or shapes:
        raise unsupported(
            "rebuilt from its description it differs in "
            + ", ".join(sorted(missing)[:3] + surplus[:3] + sorted(shapes)[:3])
        )
    with torch.no_grad():
        for key, value in tensors.items():
            own[key].copy_(value)
            if not torch.equal(own[key].double(), value.to(own[key].device).double()):
                raise unsupported(f"{key} does not fit {own[key].dtype} exactly")
