"""What the choice of E0s does to naive fine-tuning on one composition (paper, Fig. 4b).

Runs naive fine-tuning once per E0 choice on the same frames, prints the errors on the test frames
and the energies along a reference path, relative to its first image, against the labels.

    python benchmarks/e0_choices.py --train sn2/train.xyz --valid sn2/valid.xyz \\
        --test sn2/test.xyz --path sn2/neb_mp2.xyz --without-atoms --epochs 60 --work work/

`--without-atoms` leaves the isolated atoms out of the training data (the explicit choice then takes
them as a table), so that the compositions no longer determine the E0s.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase.data import chemical_symbols

import pestle
from pestle.foundations.prediction import predict_frames
from pestle.protocols.neb.analysis import profile
from pestle.structures.reading import read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--train", "--valid", "--test", "--path", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--foundation", default="pestle-seed0")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--without-atoms", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)

    frames = ase.io.read(options.train, index=":")
    atoms = {a.symbols[0]: float(a.info["REF_energy"]) for a in frames if len(a) == 1}
    train = options.work / "train.xyz"
    kept = [a for a in frames if len(a) > 1 or not options.without_atoms]
    ase.io.write(train, kept, format="extxyz")
    used = {chemical_symbols[z] for a in kept for z in a.numbers}
    choices = {
        "explicit": {s: e for s, e in atoms.items() if s in used},
        "reestimate": "reestimate",
        "average": "average",
        "foundation": "foundation",
    }
    models = {}
    for name, e0s in choices.items():
        manifest = pestle.finetune(
            {
                "foundation": options.foundation,
                "data.train": [str(train)],
                "data.valid": [str(options.valid)],
                "data.test": [str(options.test)],
                "e0s": e0s,
                "recipe": "paper",
                "train.epochs": options.epochs,
                "train.eval_interval": 5,
                "train.threads": 1,
            },
            options.work / name,
        ).to_json()
        models[name] = pestle.load(options.work / name)
        found = manifest["reference_energies"]
        errors = manifest["errors"]["test"]["fine-tuned"]["all"]
        table = " ".join(f"{s} {found['e0s'][s]:.2f}" for s in sorted(used))
        print(f"{name:<11} {table}")
        print(
            f"{'':<11} rank {found['rank']} of {found['n_elements']}; before the first update "
            f"{found['zero_step_error_mev_per_atom']:.1f} meV/atom; test "
            f"{errors['energy_rmse']:.2f} meV/atom, {errors['forces_rmse']:.1f} meV/Å",
            flush=True,
        )
    print(found["null_space_text"])
    images = read_frames([str(options.path)]).frames
    curves = {"reference": np.array([image.energy for image in images])}
    for name, model in models.items():
        curves[name] = np.array([said.energy for said in predict_frames(model, images)])
    curves = {name: values - values[0] for name, values in curves.items()}
    for name, values in curves.items():
        print(f"{name:<11}" + "".join(f"{v:8.3f}" for v in values))
    for name, values in curves.items():
        found = profile(values, curves["reference"])
        barrier, rmse = found.barrier, found.rmse_mev
        print(f"{name:<11} barrier {barrier:.3f} eV, RMSE {rmse:.0f} meV")


if __name__ == "__main__":
    main()
