"""Describe what the long-range classes of mace (MACELES, PolarMACE) have beyond ScaleShiftMACE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pestle.foundations.mace.runtime import Network, extensions

#: Arguments of `les.Les`, which it stores as attributes of the same names.
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
#: Arguments of PolarMACE, which it stores as attributes of the same names.
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
#: Arguments of PolarMACE, which it stores as attributes with an underscore before the name.
POLAR_PRIVATE_ARGUMENTS = (
    "field_feature_norms",
    "fixedpoint_update_config",
    "field_readout_config",
)


def describe(network: Network) -> dict[str, Any]:
    """Return the additional entries in the description of a long-range model.

    Args:
        network: an energy model of mace.

    Returns:
        Data that JSON can hold; empty for other models.
    """
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
    """Return the keyword arguments of the mace class that `describe` recorded.

    Args:
        description: the whole description.
    """
    if "les_arguments" in description:
        return {"les_arguments": dict(description["les_arguments"])}
    if "polar" in description:
        names = (*POLAR_ARGUMENTS, *POLAR_PRIVATE_ARGUMENTS)
        return {name: description["polar"][name] for name in names}
    return {}


def is_polar(network: Network) -> bool:
    """Return whether the network needs total charge and spin for its electrostatics."""
    return isinstance(network, extensions.PolarMACE)


def inputs(
    network: Network, cell: torch.Tensor, periodic: torch.Tensor, positions: torch.Tensor,
    batch: torch.Tensor, charge: torch.Tensor, spin: torch.Tensor,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Return what a long-range model reads besides the inputs of ScaleShiftMACE.

    Args:
        network: an energy model of mace.
        cell: [n_graphs, 3, 3] Å, lattice vectors in rows.
        periodic: [n_graphs] bool.
        positions: [n_atoms, 3] Å.
        batch: [n_atoms] index of each atom's graph.
        charge: [n_graphs] total charge in e.
        spin: [n_graphs] spin multiplicity.

    Returns:
        Entries of the dictionary that the network reads; empty for other models.
    """
    if not isinstance(network, extensions.MACELES | extensions.PolarMACE):
        return {}
    n_graphs = cell.shape[0]
    pbc = periodic[:, None].expand(n_graphs, 3)
    if isinstance(network, extensions.MACELES):
        return {"pbc": pbc}
    # A structure that is not periodic gets a box around it, because its own cell has no inverse.
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
