"""Train `pestle-seed1`, the foundation that `pestle demo` starts from, from `pestle-seed0`.

    python recipes/embedded_foundation.py --train omat_teacher_train.xyz \
        --valid omat_teacher_valid.xyz --teacher nequix-omat-1 --work WORK

Two things are wrong with seed0. The constant `shift` that it adds to every atom stands in single
atoms, too: they lie 2.9 eV off their E0s, and no weight moves it. And it knows its training frames
by heart: forces of frames it has not seen are nearly twice as wrong.

So the shift is set to zero (the interactions without neighbours are zero, what is left of a single
atom is its E0), and training goes on with `pestle finetune --method naive` from its weights, on

- the frames of `--train` with at most MAX_EDGES edges, and
- recombined copies of its crystals (like elements exchanged, the volume adapted, strained and
  rattled), labelled by the teacher that labelled those frames.

`--valid` is looked at once, when the model is done. What is made lies in WORK and is not made
again: `extra.xyz`, `train.xyz`, `start/`, `run/`, and the new model in `seed1/`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

import pestle
from pestle.foundations import catalogue, load_foundation, safe_files
from pestle.foundations.interface import Foundation, Provenance
from pestle.foundations.prediction import predict_frames
from pestle.jobs.label import label
from pestle.structures.generation.distortions import rattled, scaled
from pestle.structures.generation.spacing import (
    NOBLE_GASES,
    covalent_sums,
    neighbours,
    volume_guess,
)
from pestle.structures.graphs import make_graph
from pestle.structures.reading import read_frames

#: Larger training frames are left out: an update costs what its edges cost.
MAX_EDGES = 1100
#: (seed, number) of the recombined copies, and their edges within the teacher's 6 Å at most.
COPIES = ((1, 2000), (2, 3000), (3, 5000), (4, 4000))
MAX_TEACHER_EDGES = 700
#: Limits of the training set itself: forces in eV/Å, energy above single atoms in eV/atom.
MAX_FORCE, MAX_ENERGY = 40.0, 3.0
#: Widths in Pauling's electronegativity and covalent radius (Å) of what counts as a like element.
LIKE = (0.35, 0.25)

SETTINGS = {
    "method": "naive",
    "e0s": "foundation",
    "data.valid_fraction": 0.015,
    "loss.energy": 8.0,
    "train.lr": 3e-3,
    "train.ema_decay": 0.995,
    "train.clip": 10.0,
    "train.schedule": "cosine",
    "train.warmup_steps": 200,
    "train.amsgrad": False,
    "train.batch_size": 6,
    "train.max_edges": 2000,
    "train.dtype": "float32",
    "train.threads": 1,
    "train.device": "cpu",
}


# -- recombined copies --------------------------------------------------------------------------
def like_elements(known: list[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Of every element the elements that may stand in its place, and their probabilities."""
    from pymatgen.core import Element

    table = [z for z in known if z not in NOBLE_GASES]
    # Lead is divalent in most of these crystals; the table's value is that of lead(IV).
    strength = np.array([1.87 if z == 82 else Element(chemical_symbols[z]).X for z in table])
    radius = covalent_radii[table]
    found = {}
    for k, z in enumerate(table):
        distance = ((strength - strength[k]) / LIKE[0]) ** 2 + ((radius - radius[k]) / LIKE[1]) ** 2
        weight = np.exp(-0.5 * distance)
        weight[k] *= 0.3  # mostly another element
        found[z] = (np.array(table), weight / weight.sum())
    return found


def recombined(
    atoms: Atoms, like: dict[int, tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> Atoms | None:
    """A copy with other elements, strained and rattled; `None` where none was exchanged."""
    new = atoms.copy()
    table: dict[int, int] = {}
    for z in sorted(set(atoms.numbers.tolist())):
        other = z
        for _ in range(20):
            if z in like:
                other = int(rng.choice(like[z][0], p=like[z][1]))
            if other not in table.values():
                break
        table[z] = other
    new.numbers = [table[z] for z in atoms.numbers]
    if all(old == other for old, other in table.items()) and rng.random() < 0.7:
        return None
    volume = volume_guess(new) / volume_guess(atoms)
    new = scaled(new, volume ** (1 / 3) * rng.normal(1, 0.025))
    strain = np.clip(rng.normal(scale=0.02, size=(3, 3)), -0.06, 0.06)
    new.set_cell(new.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return rattled(new, float(np.exp(rng.uniform(np.log(0.01), np.log(0.15)))), rng)


def copies(crystals: list[Atoms], known: list[int], seed: int, count: int) -> list[Atoms]:
    """So many recombined copies without labels, small and without overlapping atoms."""
    rng = np.random.default_rng(seed)
    like = like_elements(known)
    made: list[Atoms] = []
    while len(made) < count:
        old = crystals[int(rng.integers(len(crystals)))]
        new = recombined(old, like, rng)
        if new is None:
            continue
        first, second, vectors = neighbours(new, 6.0)
        sums = covalent_sums()[new.numbers[first], new.numbers[second]]
        if len(first) > MAX_TEACHER_EDGES or (np.linalg.norm(vectors, axis=1) / sums).min() < 0.62:
            continue
        bare = Atoms(new.numbers, new.positions, cell=new.cell, pbc=True)
        bare.info["source"] = f"recombined:{old.info['source']}"
        made.append(bare)
    return made


# -- the training set ---------------------------------------------------------------------------
def training_set(train: Path, teacher: str, work: Path, old: Foundation) -> Path:
    """The file to train on, made where it does not exist."""
    target, bare, extra = work / "train.xyz", work / "bare.xyz", work / "extra.xyz"
    if target.exists():
        return target
    all_frames = ase.io.read(train, ":")
    if not extra.exists():
        crystals = [a for a in all_frames if len(a) > 1 and a.info["source"] != "g2"]
        made = [a for case in COPIES for a in copies(crystals, list(old.elements), *case)]
        ase.io.write(bare, made, format="extxyz")
        label([str(bare)], extra, model=teacher, dtype="float32", device="cpu")
    graphs = (make_graph(frame, old.cutoff) for frame in read_frames([str(train)]).frames)
    kept = [a for a, g in zip(all_frames, graphs, strict=True) if g.n_edges <= MAX_EDGES]
    e0s = old.reference_energies["Default"]
    for atoms in ase.io.read(extra, ":"):
        above = (atoms.info["REF_energy"] - sum(e0s[z] for z in atoms.numbers)) / len(atoms)
        if abs(atoms.arrays["REF_forces"]).max() > MAX_FORCE or above > MAX_ENERGY:
            continue
        atoms.info = {k: atoms.info[k] for k in ("REF_energy", "REF_stress", "source")}
        kept.append(atoms)
    ase.io.write(target, kept, format="extxyz")
    return target


# -- the model ----------------------------------------------------------------------------------
def without_shift(folder: Path) -> None:
    """Write seed0 with a shift of zero, so that a single atom gives its E0."""
    entry = catalogue.entry("pestle-seed0")
    assert entry.folder is not None
    model = safe_files.read(entry.folder)
    name = "scale_shift.shift"
    tensors = model.tensors | {name: torch.zeros_like(model.tensors[name])}
    safe_files.write(
        folder,
        replace(model, architecture=model.architecture | {"shift": 0.0}, tensors=tensors),
    )


def embed(run: Path, folder: Path) -> None:
    """Write the model of the run under its new name; its labels are the foundation's own."""
    model = load_foundation(run)
    model.provenance = Provenance(
        name="pestle-seed1",
        licence="MIT",
        level_of_theory=catalogue.entry("pestle-seed0").level_of_theory,
        notes=(
            "pestle-seed0 trained on without its constant shift (recipes/embedded_foundation.py)",
            "made for Pestle; fit for demonstration and tests, not for production",
        ),
    )
    model.save(folder)


def judge(models: dict[str, str], valid: Path) -> None:
    """Print the errors of the models, float64, and how far single atoms lie off their E0s."""
    frames = read_frames([str(valid)]).frames
    sizes = np.array([len(f.numbers) for f in frames])
    print(
        f"{valid.name}, {len(frames)} frames: forces RMSE, mean over frames of their MAE (meV/Å); "
        "energy MAE (meV/atom); largest error of a single atom (meV)"
    )
    for name, where in models.items():
        model = load_foundation(where, dtype=torch.float64)
        said = predict_frames(model, frames)
        off = [p.forces - f.forces for p, f in zip(said, frames, strict=True)]
        rmse = np.sqrt(np.mean(np.concatenate([x.ravel() for x in off]) ** 2))
        mae = np.mean([np.abs(x).mean() for x in off])
        energies = np.array([p.energy - f.energy for p, f in zip(said, frames, strict=True)])
        alone = model.isolated_atom_energies()
        single = max(abs(e - alone[z]) for z, e in model.reference_energies["Default"].items())
        print(
            f"{name:8} {1e3 * rmse:6.0f} {1e3 * mae:6.0f} "
            f"{1e3 * np.abs(energies / sizes).mean():6.0f} {1e3 * single:8.1f}"
        )


def main() -> None:
    """Make the training set, train, judge."""
    parser = argparse.ArgumentParser(description="Make `pestle-seed1`.")
    parser.add_argument(
        "--train", type=Path, required=True, help="frames with the teacher's labels"
    )
    parser.add_argument("--valid", type=Path, required=True, help="frames to judge by")
    parser.add_argument("--teacher", default="nequix-omat-1", help="model that labelled them")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is made")
    parser.add_argument("--updates", type=int, default=70_000)
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    old = load_foundation("pestle-seed0", dtype=torch.float32)
    data = training_set(options.train, options.teacher, work, old)
    if not (work / "run" / "model").exists():
        without_shift(work / "start")
        asked = {"foundation": str(work / "start"), "data.train": [str(data)]}
        updates = {"train.updates": options.updates}
        pestle.finetune(SETTINGS | asked | updates, out=work / "run", command="pestle finetune")
    embed(work / "run", work / "seed1")
    judge({"seed0": "pestle-seed0", "seed1": str(work / "seed1")}, options.valid)


if __name__ == "__main__":
    main()
