"""Isolated-atom error against the number of repeated isolated-atom frames (paper, Table 3).

Naive fine-tuning once per E0 choice and number of repeats; printed is the RMSE over the elements of
what a single atom gives in the fine-tuned model against its label, in meV.

    python benchmarks/isolated_atoms.py --data uio66.xyz --foundation pestle-seed0 --work work/
    python benchmarks/isolated_atoms.py --data uio66.xyz --nonlinear omat_teacher_train.xyz \\
        --work work/

`--nonlinear FILE` makes the foundation first: a small MACE with the non-linear blocks of MACE-MH-1,
whose biases add to its single-atom energies, trained from scratch on the frames of FILE that hold
only elements of the data.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import ase.io
import numpy as np
import torch

import pestle
from pestle.foundations.interface import Foundation, Provenance
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.runtime import default_dtype, local_seed, mace_modules, o3

CHOICES = ("isolated", "average", "reestimate")


def nonlinear_foundation(elements: list[int], e0s: dict[int, float], folder: Path) -> None:
    """Save an untrained small MACE with non-linear blocks and biases in its readout."""
    block = mace_modules.interaction_classes["RealAgnosticResidualNonLinearInteractionBlock"]
    with local_seed(0), default_dtype(torch.float64):
        network = mace_modules.ScaleShiftMACE(
            r_max=5.0,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls_first=block,
            interaction_cls=block,
            readout_cls=mace_modules.readout_classes["NonLinearBiasReadoutBlock"],
            num_interactions=2,
            num_elements=len(elements),
            atomic_numbers=elements,
            atomic_energies=np.array([e0s[z] for z in elements]),
            hidden_irreps=o3.Irreps("16x0e+16x1o"),
            MLP_irreps=o3.Irreps("8x0e"),
            gate=torch.nn.functional.silu,
            avg_num_neighbors=30.0,
            correlation=2,
            radial_MLP=[32, 32],
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
    MaceFoundation(network, provenance=Provenance(name="nonlinear")).save(folder)


def pretrain(options: argparse.Namespace, elements: list[int]) -> Path:
    """The non-linear foundation, trained from scratch; its folder."""
    out = options.work / "foundation"
    if (out / "report.html").exists():
        return out
    known = set(elements)
    frames = ase.io.read(options.nonlinear, index=":")
    frames = [a for a in frames if set(a.numbers.tolist()) <= known and len(a) < 40]
    ase.io.write(options.work / "pretraining.xyz", frames, format="extxyz")
    seed0 = pestle.load("pestle-seed0")
    e0s = seed0.reference_energies[seed0.heads[0]]
    nonlinear_foundation(elements, e0s, options.work / "shape")
    pestle.finetune(
        {
            "foundation": str(options.work / "shape"),
            "method": "scratch",
            "e0s": "foundation",
            "data.train": [str(options.work / "pretraining.xyz")],
            "recipe": "paper",
            "train.epochs": options.pretrain_epochs,
            "train.threads": 1,
        },
        out,
    )
    return out


def atom_error(model: Foundation, truth: dict[int, float]) -> float:
    """RMSE over the elements of single-atom energies, meV."""
    found = model.isolated_atom_energies()
    return float(1e3 * np.sqrt(np.mean([(found[z] - e) ** 2 for z, e in truth.items()])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--foundation", default="pestle-seed0")
    parser.add_argument("--nonlinear", type=Path)
    parser.add_argument("--repeats", type=int, nargs="+", default=[0, 1, 5, 10, 20])
    parser.add_argument("--frames", type=int, help="thin the other frames to so many")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pretrain-epochs", type=int, default=30)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("pestle").setLevel(logging.WARNING)
    frames = ase.io.read(options.data, index=":")
    atoms = [a for a in frames if a.info.get("config_type") == "IsolatedAtom"]
    body = [a for a in frames if a.info.get("config_type") != "IsolatedAtom"]
    stride = max(1, len(body) // (options.frames or len(body)))
    data = options.work / "data.xyz"
    ase.io.write(data, [*atoms, *body[::stride][: options.frames]], format="extxyz")
    truth = {int(a.numbers[0]): float(a.info["REF_energy"]) for a in atoms}
    foundation = str(pretrain(options, sorted(truth))) if options.nonlinear else options.foundation
    print("repeats   " + "".join(f"{name:>12}" for name in CHOICES) + "   (RMSE of E0, meV)")
    for repeats in options.repeats:
        row = []
        for choice in CHOICES:
            out = options.work / f"{choice}-{repeats}"
            pestle.finetune(
                {
                    "foundation": foundation,
                    "data.train": [str(data)],
                    "elements": "data",
                    "e0s": choice,
                    "data.isolated_atom_repeats": repeats,
                    "recipe": "paper",
                    "train.epochs": options.epochs,
                    "train.eval_interval": options.epochs,
                    "train.batch_size": 2,
                    "train.dtype": "float32",
                    "train.threads": 1,
                },
                out,
            )
            row.append(atom_error(pestle.load(out), truth))
        print(f"{repeats:<10}" + "".join(f"{value:12.1f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
