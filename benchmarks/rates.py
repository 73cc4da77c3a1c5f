"""Learning rates that fit a foundation: what `train.lr: auto` picks, and what other rates come to.

Naive fine-tuning at each rate for a few epochs, with a validation after each, and the probe's own
trials.

    python benchmarks/rates.py --foundation pestle-seed0 --train train.xyz --valid valid.xyz \\
        --thin 20 --rates auto 1e-3 --epochs 5 --work WORK

`--thin N` trains on N frames, evenly taken, isolated atoms apart; `--thin-valid` does the same to
the validation. `--first-update` makes no run: it prints what one update at each rate (numbers only)
does to the loss of the first batch, for targets whose updates take a minute. One thread. Prints
Markdown tables and CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch

import pestle
from pestle.jobs.finetune.first_updates import rate_trainer
from pestle.jobs.finetune.preparation import prepare
from pestle.jobs.finetune.training_graphs import training_data
from pestle.settings.run_file import from_names
from pestle.training.losses import loss_weights
from pestle.training.mixing import Position
from pestle.training.optimizer import make_optimizer
from pestle.training.setup import make_ready


def thinned(path: Path, n: int | None, work: Path, name: str) -> str:
    """The file with `n` frames, evenly taken, and all isolated atoms; `None` keeps it as it is."""
    if n is None:
        return str(path)
    frames = ase.io.read(path, index=":")
    body = [a for a in frames if a.info.get("config_type") != "IsolatedAtom"]
    atoms = [a for a in frames if a.info.get("config_type") == "IsolatedAtom"]
    chosen = np.linspace(0, len(body) - 1, n).round().astype(int)
    target = work / f"{name}.xyz"
    ase.io.write(target, [body[k] for k in chosen] + atoms, format="extxyz")
    return str(target)


def trials_in_words(probe: dict[str, Any]) -> str:
    """`0.01: 18 after 1 update`, … with the largest loss over its start."""
    parts = []
    for trial in probe["trials"]:
        worst = max(trial["losses"])
        plural = "" if trial["updates"] == 1 else "s"
        parts.append(f"{trial['rate']:g}: {worst:.3g} in {trial['updates']} update{plural}")
    return "; ".join(parts)


def runs(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """A short run at each rate, and its validation errors by epoch."""
    heads = [f"epoch {k}" for k in range(options.epochs + 1)]
    print(f"| train.lr | used | {' | '.join(heads)} | CPU s |\n|{'---|' * (len(heads) + 3)}")
    probe = None
    for rate in options.rates:
        folder = options.work / f"lr-{rate}"
        asked = {"train.lr": rate if rate == "auto" else float(rate), "train.eval_interval": 1}
        started = time.process_time()
        manifest = pestle.finetune(
            settings | asked | {"train.epochs": options.epochs}, folder
        ).to_json()
        seconds = time.process_time() - started
        with (folder / "metrics.jsonl").open() as lines:
            forces = [f"{json.loads(line)['valid']['forces_rmse']:.1f}" for line in lines]
        used = manifest["settings"]["train.lr"]["value"]
        print(f"| {rate} | {used:g} | {' | '.join(forces)} | {seconds:.0f} |", flush=True)
        probe = manifest["rate_probe"] or probe
    if probe is not None:
        print(f"\nlargest loss over its start: {trials_in_words(probe)} ({probe['seconds']:.0f} s)")


def first_update(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Loss of the first batch before and after one update at each rate."""
    run_settings = from_names(settings | {"train.lr": 1.0})
    device = make_ready(run_settings.train)
    prepared = prepare(run_settings, device)
    trainer = rate_trainer(prepared, training_data(prepared), device)
    draw, _ = trainer.mixture.draw(Position())
    weights = loss_weights(run_settings.loss)
    start = [p.detach().clone() for p in trainer.parameters]
    loss = trainer.compute_loss(draw, weights)
    torch.autograd.backward(loss, inputs=trainer.parameters)
    torch.nn.utils.clip_grad_norm_(trainer.parameters, prepared.settings.train.clip)
    print(f"{draw.n_edges:,} edges in the batch\n\n| train.lr | loss over its start |\n|---|---|")
    for rate in options.rates:
        train = prepared.settings.train.model_copy(update={"lr": float(rate)})
        make_optimizer(trainer.parameters, train).step()
        after = float(trainer.compute_loss(draw, weights).detach())
        print(f"| {rate} | {after / float(loss.detach()):.3g} |", flush=True)
        with torch.no_grad():
            for parameter, value in zip(trainer.parameters, start, strict=True):
                parameter.copy_(value)
    print(f"\n{time.process_time():.0f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", default="pestle-seed0")
    for name in ("--train", "--valid", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--thin", type=int, help="training frames to keep")
    parser.add_argument("--thin-valid", type=int, help="validation frames to keep")
    parser.add_argument("--rates", nargs="+", default=["auto", "1e-3"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--first-update", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    settings = {
        "foundation": options.foundation,
        "data.train": thinned(options.train, options.thin, options.work, "train"),
        "data.valid": thinned(options.valid, options.thin_valid, options.work, "valid"),
        "train.threads": 1,
        "train.device": "cpu",
        "train.dtype": options.dtype,
        "train.gate_frames": 20,
    }
    (first_update if options.first_update else runs)(options, settings)


if __name__ == "__main__":
    main()
