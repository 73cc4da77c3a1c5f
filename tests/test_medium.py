"""A foundation of the published medium size goes the whole way (random weights)."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch

import pestle
from conftest import DATA
from pestle.foundations.interface import Provenance
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.runtime import default_dtype, local_seed, mace_modules, o3
from pestle.foundations.prediction import predict_frames
from pestle.structures.reading import read_frames

ELEMENTS = [z for z in range(1, 95) if z not in (84, 85, 86, 87, 88)]


def medium() -> MaceFoundation:
    """The shape of MACE-OMat-0-medium: 9,063,204 parameters."""
    blocks = mace_modules.interaction_classes
    with local_seed(0), default_dtype(torch.float32):
        network = mace_modules.ScaleShiftMACE(
            r_max=6.0,
            num_bessel=10,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls_first=blocks["RealAgnosticDensityInteractionBlock"],
            interaction_cls=blocks["RealAgnosticDensityResidualInteractionBlock"],
            num_interactions=2,
            num_elements=len(ELEMENTS),
            atomic_numbers=ELEMENTS,
            atomic_energies=-np.arange(1.0, len(ELEMENTS) + 1),
            hidden_irreps=o3.Irreps("128x0e+128x1o"),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            avg_num_neighbors=60.0,
            correlation=3,
            radial_MLP=[64, 64, 64],
            pair_repulsion=True,
            distance_transform="Agnesi",
            atomic_inter_scale=0.8,
            atomic_inter_shift=0.0,
        )
    return MaceFoundation(network, provenance=Provenance(name="medium"))


@pytest.mark.slow
@pytest.mark.parametrize("elements", ["all", "data"])
def test_medium_size_goes_the_whole_way(tmp_path: Path, elements: str) -> None:
    """Load, subset, zero-step gate, two updates, save, MACECalculator."""
    from mace.calculators import MACECalculator

    foundation = medium()
    assert len(foundation.elements) == 89
    assert sum(p.numel() for p in foundation.parameters()) == 9_063_204
    foundation.save(tmp_path / "medium")
    frames = read_frames([str(DATA / "train.xyz")]).frames
    kept = [f for f in ase.io.read(DATA / "train.xyz", index=":") if len(f) == 1]
    kept += ase.io.read(DATA / "train.xyz", index="4:12")
    ase.io.write(tmp_path / "train.xyz", kept, format="extxyz")
    manifest = pestle.finetune(
        {
            "foundation": str(tmp_path / "medium"),
            "data.train": [str(tmp_path / "train.xyz")],
            "data.valid": [str(DATA / "neb_mp2.xyz")],
            "elements": elements,
            "train.batch_size": 4,
            "train.epochs": 1,
            "train.dtype": "float32",
            "train.threads": 1,
        },
        tmp_path / "run",
    ).to_json()
    assert manifest["training"]["steps"] == 2
    assert manifest["gate"]["forces"] < 1e-2
    model = pestle.load(tmp_path / "run")
    assert len(model.elements) == (89 if elements == "all" else 4)
    atoms = frames[-1].atoms.copy()
    atoms.calc = MACECalculator(
        model_paths=str(tmp_path / "run" / "model" / "pestle.model"), device="cpu"
    )
    (ours,) = predict_frames(model.with_dtype(torch.float64), [frames[-1]])
    assert atoms.get_potential_energy() == pytest.approx(ours.energy, abs=1e-4)
    assert atoms.get_forces() == pytest.approx(ours.forces, abs=1e-4)
