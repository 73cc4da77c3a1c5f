"""Naive fine-tuning by Pestle and by mace_run_train, side by side on the same task.

Same foundation file, element set, universal loss (10/10), frames, AdamW with amsgrad, learning
rate 1e-3, EMA 0.999, clipping 1, no weight decay, epochs, batch size, float64, E0s given
explicitly. Each seed runs both programs one after the other on one thread; both models are judged
by `pestle evaluate`. Printed are mean and standard deviation over the seeds, the pooled standard
deviation, and the ratio of the whole-process times.

    python benchmarks/versus_mace.py --foundation seed0.model --train train.xyz --test test.xyz \\
        [--valid valid.xyz] --epochs 200 --seeds 0 1 2 --work work/

mace_run_train's plateau schedule is given a patience it never reaches. A run whose result is
stored in the work folder is not repeated. With `--mace-order` Pestle takes the frames in the order
in which mace_run_train draws them with the same seed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.data
import ase.io
import numpy as np

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def split(train: Path, valid: Path | None, work: Path) -> tuple[Path, Path, dict[int, float]]:
    """Training and validation files that both programs read, and the E0s of the isolated atoms.

    Without a validation file every tenth frame is held out.
    """
    frames = ase.io.read(train, index=":")
    atoms = [a for a in frames if a.info.get("config_type") == "IsolatedAtom"]
    body = [a for a in frames if a.info.get("config_type") != "IsolatedAtom"]
    held = ase.io.read(valid, index=":") if valid else body[::10]
    kept = body if valid else [a for k, a in enumerate(body) if k % 10]
    ase.io.write(work / "train.xyz", kept, format="extxyz")
    ase.io.write(work / "valid.xyz", held, format="extxyz")
    used = {int(z) for a in kept + held for z in a.numbers}
    e0s = {int(a.numbers[0]): float(a.info["REF_energy"]) for a in atoms}
    return work / "train.xyz", work / "valid.xyz", {z: e0s[z] for z in sorted(used)}


def timed(command: list[str], log: Path) -> tuple[float, float]:
    """Run a command on one thread; its seconds on the clock and of CPU. Output goes to a file."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, env=ONE_THREAD, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} … failed; see {log}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu


def evaluate(model: Path, test: Path) -> dict[str, float]:
    """Errors of a model by `pestle evaluate`."""
    command = [sys.executable, "-m", "pestle", "evaluate", str(model), str(test)]
    command += ["--trust", "--json", "--dtype", "float64"]
    done = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD, check=True)
    return json.loads(done.stdout)["all"]


def run_mace(options: argparse.Namespace, files: tuple, seed: int, work: Path) -> tuple:
    train, valid, e0s = files
    work.mkdir(parents=True, exist_ok=True)
    arguments = {
        "name": "mace", "seed": seed, "work_dir": work, "foundation_model": options.foundation,
        "multiheads_finetuning": False, "train_file": train, "valid_file": valid,
        "atomic_numbers": str(list(e0s)), "E0s": str(e0s), "energy_key": "REF_energy",
        "forces_key": "REF_forces", "loss": "universal", "energy_weight": 10, "forces_weight": 10,
        "lr": 1e-3, "ema_decay": 0.999, "clip_grad": 1.0, "weight_decay": 0.0,
        "optimizer": "adamw", "scheduler_patience": 100_000, "batch_size": options.batch_size,
        "valid_batch_size": 30, "max_num_epochs": options.epochs, "patience": options.epochs,
        "default_dtype": "float64", "device": "cpu",
    }  # fmt: skip
    command = [sys.executable, "-m", "mace.cli.run_train", "--ema"]
    command += [f"--{key}={value}" for key, value in arguments.items()]
    seconds = timed(command, work / "log.txt")
    return seconds, evaluate(next(work.glob("mace.model")), options.test)


def run_pestle(options: argparse.Namespace, files: tuple, seed: int, work: Path) -> tuple:
    train, valid, e0s = files
    e0_file = work.parent / "e0s.json"
    symbols = ase.data.chemical_symbols
    e0_file.write_text(json.dumps({symbols[z]: e for z, e in e0s.items()}))
    settings = {
        "elements": "data", "e0s": e0_file, "train.epochs": options.epochs,
        # As mace_run_train does: a constant rate, and an evaluation after every epoch.
        "recipe": "paper", "train.eval_interval": 1,
        "train.patience": options.epochs, "train.batch_size": options.batch_size,
        "train.seed": seed, "train.threads": 1, "train.device": "cpu",
    }  # fmt: skip
    ours = ["-m", "pestle"]
    if options.mace_order:
        ours = [str(Path(__file__).with_name("in_mace_order.py")), str(seed)]
    command = [sys.executable, *ours, "finetune", "--foundation", str(options.foundation)]
    command += ["--trust", "--data", str(train), "--valid", str(valid), "-o", str(work)]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    seconds = timed(command, work.with_suffix(".log"))
    return seconds, evaluate(work, options.test)


def once(run: Callable, options: argparse.Namespace, files: tuple, seed: int, work: Path) -> tuple:
    """Seconds (clock, CPU) and errors of a run, from the work folder if it was done before."""
    path = work.with_name(f"{work.name}.json")
    if not path.exists():
        path.write_text(json.dumps(run(options, files, seed, work)))
    return tuple(json.loads(path.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--foundation", "--train", "--test", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--valid", type=Path)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mace-order", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    files = split(options.train, options.valid, options.work)

    programs = {"mace_run_train": run_mace, "pestle": run_pestle}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    errors: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for seed in options.seeds:
        for name, run in programs.items():
            folder = f"{name}-in-mace-order" if run is run_pestle and options.mace_order else name
            spent, result = once(run, options, files, seed, options.work / f"{folder}-{seed}")
            seconds[name].append(spent)
            errors[name].append(result)
            print(
                f"seed {seed}  {name:<15} {result['energy_rmse']:8.3f} meV/atom "
                f"{result['forces_rmse']:8.2f} meV/Å  {spent[0]:6.0f} s, CPU {spent[1]:.0f} s",
                flush=True,
            )
    for key, unit in (("energy_rmse", "meV/atom"), ("forces_rmse", "meV/Å")):
        values = {name: np.array([e[key] for e in errors[name]]) for name in programs}
        mace, ours = values["mace_run_train"], values["pestle"]
        pooled = np.sqrt((mace.var(ddof=1) + ours.var(ddof=1)) / 2)
        distance = (ours.mean() - mace.mean()) / pooled
        print(
            f"{key:<12} mace {mace.mean():.3f} ± {mace.std(ddof=1):.3f}   pestle "
            f"{ours.mean():.3f} ± {ours.std(ddof=1):.3f} {unit}   pestle − mace = "
            f"{distance:+.2f} pooled standard deviations"
        )
    ratios = np.array(seconds["pestle"]) / np.array(seconds["mace_run_train"])
    clock, cpu = np.median(ratios, axis=0)
    print(
        f"whole-process time, pestle / mace: {clock:.2f} on the clock, {cpu:.2f} of CPU (median of "
        f"{len(options.seeds)} pairs)"
    )


if __name__ == "__main__":
    main()
