"""Time of a training step of every method on real frames, relative to naive fine-tuning.

Batches of `--batch` target frames, and as many replay structures for the methods with replay; loss
and backward pass as the training loop makes them. All methods take their steps in turns on one
thread; printed are medians over the rounds of the ratio in CPU time. Labels do not matter to the
time: those of the pool are used for pseudolabels, too.

    python benchmarks/replay_steps.py --train train.xyz --pool replay.xyz
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from pestle.adaptation import METHODS, Case
from pestle.foundations import load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.run_file import from_names
from pestle.structures.frame import Frame, split_isolated_atoms, thinned
from pestle.structures.graphs import make_graph
from pestle.structures.reading import read_frames
from pestle.training.losses import loss_weights
from pestle.training.objective import Objective, TrainingData
from pestle.training.replay import ReplayData, ReplayStream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", default="pestle-seed0")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    foundation = load_foundation(options.foundation, dtype=torch.float64)
    body, _ = split_isolated_atoms(read_frames([str(options.train)]).frames)
    broad = thinned(read_frames([str(options.pool)]).frames, 200, 0)
    own = foundation.reference_energies[TARGET_HEAD]

    steps = {}
    for name, method in METHODS.items():
        if name == "scratch":
            continue
        settings = from_names({"method": name})
        case = Case(foundation, TARGET_HEAD, body, settings, own)
        adaptation = method.adapt(case)
        model = adaptation.model
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key in set(adaptation.trainable))

        def graphs(frames: list[Frame], head: str, model=model) -> list:
            row = model.head_index(head)
            return [
                make_graph(f, model.cutoff, index=k).with_head(row) for k, f in enumerate(frames)
            ]

        target = graphs(body, TARGET_HEAD)
        data = TrainingData(body, target, [], [])
        if method.replay_labels is not None:
            replay = graphs(broad, REPLAY_HEAD)
            data.replay = ReplayData(broad, replay, [], [])
        steps[name] = (model, adaptation.trainable, data, Objective(settings, data), settings)

    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.rounds + 1):
        for name, (model, trainable, data, objective, settings) in steps.items():
            named = dict(model.named_parameters())
            stream = ReplayStream(data.train_graphs, 1.0, None, seed=0)
            batch, _ = stream.draw(turn * options.batch, options.batch)
            joined = None
            if data.replay is not None:
                source = ReplayStream(data.replay.train_graphs, 1.0, None, seed=1)
                joined, _ = source.draw(turn * options.batch, options.batch)
            started = time.process_time()
            loss = objective(model, batch, joined, loss_weights(settings.loss, 1))
            loss.backward(inputs=[named[key] for key in trainable])
            seconds[name].append(time.process_time() - started)
            model.zero_grad(set_to_none=True)
    naive = np.array(seconds["naive"][1:])  # the first round compiles
    print("| method | CPU ms per step | relative to naive |\n|---|---|---|")
    for name, spent in seconds.items():
        values = np.array(spent[1:])
        ratio = np.median(values / naive)
        print(f"| {name} | {1e3 * np.median(values):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
