"""All methods on one task: what each learns, what it forgets, what it costs.

Each case is a `pestle finetune` run with the method's own hyperparameters, then errors of

- the target head on the test frames,
- every head on a broad set (`--broad`): forces against its labels and against the foundation's own
  predictions (energies of the target head have the E0s of other data),
- with `--path`, the target head along a labelled reaction path.

    python benchmarks/methods.py --foundation pestle-seed0 --train train.xyz --valid valid.xyz \\
        --test test.xyz --pool replay.xyz --broad broad.xyz --epochs 40 --work WORK \\
        --cases naive lora lora@lora.rank=16 pseudolabel pseudolabel@replay.pool=generated

A case is METHOD or METHOD@SETTING=VALUE@SETTING=VALUE. One thread; a run whose folder is complete
is not repeated. `--thin N` trains on N frames, evenly taken. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import torch

from pestle.devices import DTYPES
from pestle.foundations import load_foundation
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.foundations.prediction import predict_frames
from pestle.protocols.neb.numbers import profile
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.reading import read_frames

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WITH_REPLAY = ("multihead", "pseudolabel", "multihead-lora", "pseudolabel-lora")


def run(case: str, options: argparse.Namespace, train: Path) -> Path:
    """The run folder of a case, made unless it is there."""
    method, *changed = case.split("@")
    folder = options.work / case.replace("=", "-").replace("/", "-").replace("@", "-")
    if (folder / "report.html").exists():
        return folder
    settings = [f"train.epochs={options.epochs}", f"train.patience={options.epochs}"]
    settings += ["train.threads=1", f"train.seed={options.seed}", "train.device=cpu"]
    if method in WITH_REPLAY:
        settings += [f"replay.pool={options.pool}", f"replay.count={options.count}"]
        settings += ["replay.filter=none"]
    command = [sys.executable, "-m", "pestle", "finetune", "--method", method]
    command += ["--foundation", options.foundation, "--data", str(train)]
    command += ["--valid", str(options.valid), "--test", str(options.test), "-o", str(folder)]
    for setting in settings + options.set + changed:
        command += ["--set", setting]
    log = options.work / f"{folder.name}.log"
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, env=ONE_THREAD, check=False)
    if done.returncode:
        sys.exit(f"{case} failed; see {log}")
    return folder


def rmse(values: list[np.ndarray]) -> float:
    """Root mean square of all entries, in thousandths."""
    return float(1e3 * np.sqrt(np.mean(np.concatenate([v.ravel() for v in values]) ** 2)))


def forgetting(folder: Path, broad: list[Frame], reference: list) -> dict[str, tuple]:
    """Head → force RMSE against labels and against the foundation, meV/Å."""
    model = load_foundation(folder)
    found = {}
    for head in model.heads:
        now = predict_frames(model, broad, head=head)
        labels = [p.forces - f.forces for p, f in zip(now, broad, strict=True)]
        moved = [p.forces - q.forces for p, q in zip(now, reference, strict=True)]
        found[head] = (rmse(labels), rmse(moved))
    return found


def barriers(models: dict[str, Foundation], images: list[Frame]) -> dict[str, list[str]]:
    """Barrier (eV) and RMSE along the path (meV) of the labels and the models."""
    curves = {"labels": np.array([image.energy for image in images])}
    for name, model in models.items():
        curves[name] = np.array([said.energy for said in predict_frames(model, images)])
    found = {}
    for name, energy in curves.items():
        numbers = profile(energy - energy[0], curves["labels"] - curves["labels"][0])
        found[name] = [f"{numbers['barrier']:.3f}", f"{numbers['rmse_mev']:.0f}"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", default="pestle-seed0")
    for name in ("--train", "--valid", "--test", "--pool", "--broad", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--path", type=Path, help="images of a reaction path with energies")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--count", type=int, default=500, help="replay structures")
    parser.add_argument("--thin", type=int, help="training frames to keep, isolated atoms apart")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], help="SETTING=VALUE of every case")
    parser.add_argument("--cases", nargs="+", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)

    train = options.train
    if options.thin:
        frames = ase.io.read(train, index=":")
        body = [a for a in frames if a.info.get("config_type") != "IsolatedAtom"]
        atoms = [a for a in frames if a.info.get("config_type") == "IsolatedAtom"]
        chosen = np.linspace(0, len(body) - 1, options.thin).round().astype(int)
        train = options.work / "train.xyz"
        ase.io.write(train, [body[k] for k in chosen] + atoms, format="extxyz")
    broad, _ = split_isolated_atoms(read_frames([str(options.broad)]).frames)
    dtype = "float32" if "train.dtype=float32" in options.set else "float64"
    foundation = load_foundation(options.foundation, dtype=DTYPES[dtype])
    reference = predict_frames(foundation, broad)
    labels = rmse([p.forces - f.forces for p, f in zip(reference, broad, strict=True)])
    print(
        f"broad set: {len(broad)} structures; the foundation against the labels {labels:.0f} meV/Å"
    )
    columns = ["case", "trained", "s per epoch", "test meV/atom", "test meV/Å", "head"]
    columns += ["broad set against labels meV/Å", "against the foundation meV/Å"]
    images = read_frames([str(options.path)]).frames if options.path else []
    if images:
        columns += ["barrier eV", "along the path meV"]
        for name, (barrier, error) in barriers({"the foundation": foundation}, images).items():
            print(f"path, {name}: barrier {barrier} eV, RMSE {error} meV")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for case in options.cases:
        folder = run(case, options, train)
        manifest = json.loads((folder / "manifest.json").read_text())
        method, training = manifest["method"], manifest["training"]
        share = method["n_trainable"] / method["n_parameters"]
        test = manifest["errors"]["test"]["fine-tuned"]["all"]
        seconds = training["seconds"] / max(1, training["epochs"])
        for head, (to_labels, moved) in forgetting(folder, broad, reference).items():
            target = head == TARGET_HEAD
            cells = [
                case if target else "",
                f"{share:.1%}" if target else "",
                f"{seconds:.1f}" if target else "",
                f"{test['energy_rmse']:.2f}" if target else "",
                f"{test['forces_rmse']:.1f}" if target else "",
                head,
                f"{to_labels:.0f}",
                f"{moved:.0f}",
            ]
            if images:
                model = load_foundation(folder)
                cells += barriers({case: model}, images)[case] if target else ["", ""]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
