"""Small MACE models, built with mace's own classes, and structures to try them on."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from pestle.foundations.interface import Provenance
from pestle.foundations.mace.copies import clone
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.runtime import default_dtype, local_seed, mace_modules, o3
from pestle.structures.frame import Frame

ELEMENTS = (1, 6, 8, 11, 17)
SPECS = {
    "total_charge": {
        "type": "categorical", "per": "graph", "num_classes": 11, "emb_dim": 4, "offset": 5,
    },
    "total_spin": {"type": "continuous", "per": "graph", "in_dim": 1, "emb_dim": 4},
}  # fmt: skip

#: Options that differ from `SMALL` below, by the name of the model. Together they use every
#: interaction and readout class that mace 0.3.16 can build, and every option of its energy models.
VARIANTS: dict[str, dict] = {
    "residual": {},
    "density": {
        "first": "RealAgnosticDensityInteractionBlock",
        "later": "RealAgnosticDensityResidualInteractionBlock",
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
    "scalar": {"hidden_irreps": "8x0e", "first": "RealAgnosticInteractionBlock"},
    "plain": {"cls": "MACE", "first": "RealAgnosticInteractionBlock", "pair_repulsion": True},
    "attention": {
        "first": "RealAgnosticAttResidualInteractionBlock",
        "later": "RealAgnosticAttResidualInteractionBlock",
        "distance_transform": "Soft",
    },
    "three": {"num_interactions": 3, "correlation": [2, 1, 2], "gate": torch.tanh},
    "one": {"num_interactions": 1},
    "cubic": {"correlation": 3, "max_ell": 3, "hidden_irreps": "4x0e+4x1o+4x2e"},
    "nonlinear": {
        "first": "RealAgnosticResidualNonLinearInteractionBlock",
        "later": "RealAgnosticResidualNonLinearInteractionBlock",
        "readout": "NonLinearBiasReadoutBlock",
        "edge_irreps": "4x0e+4x1o",
        "use_edge_irreps_first": True,
        "apply_cutoff": False,
        "use_agnostic_product": True,
        "distance_transform": "Agnesi",
        "heads": ["pbe", "r2scan", "Default"],
        "randomise": True,
    },
    "nonlinear products": {
        "first": "RealAgnosticResidualNonLinearInteractionBlock",
        "later": "RealAgnosticResidualNonLinearInteractionBlock",
        "readout": "NonLinearBiasReadoutBlock",
        "use_last_readout_only": True,
        "keep_last_layer_irreps": True,
        "randomise": True,
    },
    "two heads": {"heads": ["Default", "pt_head"], "gate": torch.abs, "use_reduced_cg": False},
    "charged": {
        "embedding_specs": SPECS,
        "use_embedding_readout": True,
        "heads": ["omol", "Default"],
        "radial_type": "gaussian",
        "r_max": 4.3,
    },
    "rotations only": {
        "use_so3": True,
        "radial_type": "chebyshev",
        "distance_transform": "Agnesi",
        "gate": None,
    },
    "pseudovectors": {"use_so3": True, "hidden_irreps": "4x0e+4x1e", "correlation": 3},
    "trained radial": {"trainable": True, "distance_transform": "Agnesi", "pair_repulsion": True},
}


def module(
    name: str = "residual", *, dtype: torch.dtype = torch.float64, elements=ELEMENTS, seed: int = 1
) -> torch.nn.Module:
    """A mace network with random weights and random E0s, scales and shifts per head."""
    options = dict(VARIANTS[name])
    cls = options.pop("cls", "ScaleShiftMACE")
    first = options.pop("first", "RealAgnosticResidualInteractionBlock")
    later = options.pop("later", "RealAgnosticResidualInteractionBlock")
    readout = options.pop("readout", "NonLinearReadoutBlock")
    randomise, trainable = options.pop("randomise", False), options.pop("trainable", False)
    heads = options.get("heads", ["Default"])
    generator = np.random.default_rng(seed)
    arguments = {
        "r_max": 4.0,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "num_interactions": 2,
        "hidden_irreps": "4x0e+4x1o",
        "MLP_irreps": "3x0e",
        "gate": torch.nn.functional.silu,
        "correlation": 2,
        "radial_MLP": [8, 8],
        "avg_num_neighbors": 5.0,
        "heads": heads,
    }
    arguments |= options
    for key in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        if arguments.get(key) is not None:
            arguments[key] = o3.Irreps(arguments[key])
    if cls == "ScaleShiftMACE":
        arguments["atomic_inter_scale"] = generator.uniform(0.5, 1.5, len(heads)).tolist()
        arguments["atomic_inter_shift"] = generator.uniform(-1, 1, len(heads)).tolist()
    with local_seed(seed), default_dtype(dtype):
        made = getattr(mace_modules, cls)(
            interaction_cls_first=mace_modules.interaction_classes[first],
            interaction_cls=mace_modules.interaction_classes[later],
            readout_cls=mace_modules.readout_classes[readout],
            num_elements=len(elements),
            atomic_numbers=list(elements),
            atomic_energies=-10 * generator.uniform(size=(len(heads), len(elements))),
            **arguments,
        ).to(dtype)
        if randomise:  # biases start at zero, where single atoms would still give their E0
            for key, parameter in made.named_parameters():
                if key.endswith("bias") or "embedding.weight" in key:
                    torch.nn.init.normal_(parameter)
        if trainable:
            basis, transform = made.radial_embedding.bessel_fn, made.radial_embedding
            value = basis.bessel_weights * 1.01
            del basis.bessel_weights
            basis.bessel_weights = torch.nn.Parameter(value)
            transform.distance_transform.a = torch.nn.Parameter(
                transform.distance_transform.a * 1.01
            )
    return made


@cache
def _cached(name: str, dtype: torch.dtype) -> torch.nn.Module:
    return module(name, dtype=dtype)


@cache
def foundation(name: str = "residual", *, dtype: torch.dtype = torch.float64) -> MaceFoundation:
    """One of the variants; shared between tests, so not to be changed."""
    return fresh(name, dtype=dtype)


def fresh(name: str = "residual", *, dtype: torch.dtype = torch.float64) -> MaceFoundation:
    """One of the variants as a foundation of its own."""
    return MaceFoundation(clone(_cached(name, dtype)), provenance=Provenance(name=name))


def frames(elements=ELEMENTS) -> list[Frame]:
    """A crystal, a molecule and a single atom, disturbed, of the elements given."""
    crystal = bulk("NaCl", "rocksalt", a=5.4)
    structures = [crystal, molecule("CH3CH2OH"), Atoms("O")]
    generator = np.random.default_rng(3)
    for number, atoms in enumerate(structures):
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
        atoms.numbers = [z if z in elements else elements[0] for z in atoms.numbers]
        atoms.info["number"] = number
    return [Frame(atoms, index=k) for k, atoms in enumerate(structures)]
