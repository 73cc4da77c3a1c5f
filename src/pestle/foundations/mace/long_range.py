"""The settings that the long-range MACE classes (MACELES, PolarMACE) have beyond ScaleShiftMACE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pestle.foundations.mace.runtime import Network, extensions

#: Arguments of `les.Les`, each kept by it as an attribute of the same name.
LES_ARGUMENTS = (
    "n_layers",
    "n_hidden",
    "add_linear_nn",
    "output_scaling_factor",
    "sigma",
    "dl",
    "remove_self_interaction",
    "remove_mean",
    "epsilon_factor",
    "use_atomwise",
    "use_fixed_atomic_charges",
    "fixed_atomic_charges_scaling_factor",
    "use_atomic_alpha",
    "use_epsilon_r_scaling",
)
#: Arguments of PolarMACE, each kept by it as an attribute of the same name.
POLAR_ARGUMENTS = (
    "kspace_cutoff_factor",
    "atomic_multipoles_max_l",
    "atomic_multipoles_smearing_width",
    "field_feature_max_l",
    "field_feature_widths",
    "num_recursion_steps",
    "field_si",
    "include_electrostatic_self_interaction",
    "add_local_electron_energy",
    "quadrupole_feature_corrections",
    "return_electrostatic_potentials",
    "field_norm_factor",
)
#: The same, kept under a private name.
POLAR_PRIVATE_ARGUMENTS = (
    "field_feature_norms",
    "fixedpoint_update_config",
    "field_readout_config",
)


def describe(network: Network) -> dict[str, Any]:
    """Entries that the description of a long-range model has in addition; empty for others."""
    if isinstance(network, extensions.MACELES):
        found = {n: getattr(network.les, n) for n in LES_ARGUMENTS if hasattr(network.les, n)}
        found |= {
            "compute_bec": network.compute_bec,
            "bec_output_index": network.bec_output_index,
        }
        return {"les_arguments": found}
    if isinstance(network, extensions.PolarMACE):
        found = {name: getattr(network, name) for name in POLAR_ARGUMENTS}
        found |= {name: getattr(network, f"_{name}") for name in POLAR_PRIVATE_ARGUMENTS}
        return {"polar": found}
    return {}


def arguments(description: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the mace class that `describe` recorded."""
    if "les_arguments" in description:
        return {"les_arguments": dict(description["les_arguments"])}
    if "polar" in description:
        names = (*POLAR_ARGUMENTS, *POLAR_PRIVATE_ARGUMENTS)
        return {name: description["polar"][name] for name in names}
    return {}


def is_polar(network: Network) -> bool:
    """Whether the network is told total charge and spin, for its electrostatics."""
    return isinstance(network, extensions.PolarMACE)


def inputs(
    network: Network, cell: torch.Tensor, periodic: torch.Tensor, positions: torch.Tensor,
    batch: torch.Tensor, charge: torch.Tensor, spin: torch.Tensor,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Entries that a long-range model reads from its batch besides those of ScaleShiftMACE."""
    if not isinstance(network, extensions.MACELES | extensions.PolarMACE):
        return {}
    n_graphs = cell.shape[0]
    pbc = periodic[:, None].expand(n_graphs, 3)
    if isinstance(network, extensions.MACELES):
        return {"pbc": pbc}
    # Structures that are not periodic get a box around them: its size only has to be regular.
    span = torch.zeros(n_graphs, dtype=cell.dtype, device=cell.device)
    radius = positions.detach().norm(dim=1) + float(network.r_max)
    span = span.scatter_reduce(0, batch, 2 * radius, reduce="amax")
    box = span[:, None, None] * torch.eye(3, dtype=cell.dtype, device=cell.device)
    full = torch.where(periodic[:, None, None], cell, box)
    return {
        "pbc": pbc,
        "cell": full.reshape(-1, 3),
        "rcell": 2 * torch.pi * torch.linalg.inv(full).transpose(1, 2).reshape(-1, 3),
        "volume": torch.linalg.det(full).abs(),
        "total_charge": charge,
        "total_spin": spin,
        "fermi_level": torch.zeros_like(charge),
        "external_field": charge.new_zeros(n_graphs, 3),
    }
