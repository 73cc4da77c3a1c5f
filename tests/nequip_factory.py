"""Small NequIP-type networks with random weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from foundation_factory import ELEMENTS
from pestle.foundations.interface import Provenance
from pestle.foundations.nequip.foundation import NequipFoundation
from pestle.foundations.nequip.network import Network
from pestle.foundations.nequip.shape import Shape


def shape(**other: object) -> Shape:
    """Sizes of a small network; single ones can be given."""
    small = {
        "species": len(ELEMENTS),
        "species_channels": len(ELEMENTS),
        "channels": (8, 4, 4),
        "lmax": 2,
        "layers": 3,
        "basis_size": 5,
        "radial_width": 8,
        "radial_depth": 2,
        "cutoff": 4.5,
        "cutoff_power": 6.0,
        "mean_neighbours": 12.0,
        "layer_norm": True,
        "init_scale": 4.0,
        "heads": 1,
    }
    return Shape(**{**small, **other})


def network(sizes: Shape, *, seed: int = 1) -> Network:
    """Every parameter random, in float64; scales and shifts as single precision holds them."""
    generator = np.random.default_rng(seed)
    scale = generator.uniform(0.5, 1.5, sizes.heads).astype(np.float32).tolist()
    shift = generator.uniform(-1, 1, sizes.heads).astype(np.float32).tolist()
    made = Network(sizes, scale, shift).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            values = generator.normal(size=tuple(parameter.shape))
            if ".radial." in name:
                values *= (2.0 / len(values)) ** 0.5
            elif ".norm." in name:
                values = generator.uniform(0.5, 1.5, len(values))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return made


@cache
def foundation(*, layer_norm: bool = True) -> NequipFoundation:
    """One of the two kinds, in float64; shared between tests, so not to be changed."""
    e0s = -10 * np.random.default_rng(2).uniform(size=(1, len(ELEMENTS)))
    return NequipFoundation(
        network(shape(layer_norm=layer_norm)),
        elements=ELEMENTS,
        heads=("Default",),
        e0s=torch.from_numpy(e0s),
        provenance=Provenance(name="small nequip", licence="MIT", level_of_theory="none"),
    )
