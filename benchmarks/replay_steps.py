"""Time of a training step of every method on real frames, relative to naive fine-tuning.

The updates are those that the training loop draws; loss and backward pass as it makes them. All
methods take their steps in turns on one thread; printed are means over the rounds in CPU time, as
updates with and without replay structures, or with large and small ones, differ. Labels do not
matter to the time: those of the pool are used for pseudolabels, too.

    python benchmarks/replay_steps.py --train train.xyz --pool replay.xyz
    python benchmarks/replay_steps.py --train train.xyz --pool replay.xyz --set replay.ratio=2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from pestle.adaptation import METHODS, Case, recipe_of
from pestle.adaptation.recipes import resolve
from pestle.foundations import load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.settings.run_file import from_names, parse_overrides
from pestle.structures.frame import Frame, split_isolated_atoms, thinned
from pestle.structures.graphs import make_graph
from pestle.structures.reading import read_frames
from pestle.training.losses import loss_weights
from pestle.training.mixing import Position, make_mixture
from pestle.training.objective import Objective, TrainingData
from pestle.training.replay import ReplayData


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", default="pestle-seed0")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--methods", nargs="+", default=[name for name, m in METHODS.items() if m.keeps_foundation]
    )
    parser.add_argument("--set", nargs="+", default=[], help="SETTING=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    foundation = load_foundation(options.foundation, dtype=torch.float64)
    body, _ = split_isolated_atoms(read_frames([str(options.train)]).frames)
    broad = thinned(read_frames([str(options.pool)]).frames, 200, 0)
    own = foundation.reference_energies[TARGET_HEAD]

    steps = {}
    for name in options.methods:
        method = METHODS[name]
        asked = from_names({"method": name} | parse_overrides(options.set))
        settings, _ = resolve(
            asked, recipe_of(asked), atoms_learnable=False, has_isolated_atoms=False
        )
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
        mixture = make_mixture(settings, data)
        steps[name] = (model, adaptation.trainable, mixture, Objective(settings, data), settings)

    seconds: dict[str, list[float]] = {name: [] for name in steps}
    places = dict.fromkeys(steps, Position())
    for _ in range(options.rounds + 1):
        for name, (model, trainable, mixture, objective, settings) in steps.items():
            named = dict(model.named_parameters())
            started = time.process_time()
            draw, places[name] = mixture.draw(places[name])
            weights = loss_weights(settings.loss)
            loss = objective(model, draw.target, draw.replay, weights, joint=draw.joint)
            loss.backward(inputs=[named[key] for key in trainable])
            seconds[name].append(time.process_time() - started)
            model.zero_grad(set_to_none=True)
    first = np.mean(next(iter(seconds.values()))[1:])  # the first round compiles
    print("| method | CPU ms per step | relative to the first |\n|---|---|---|")
    for name, spent in seconds.items():
        mean = np.mean(spent[1:])
        print(f"| {name} | {1e3 * mean:.0f} | {mean / first:.2f} |")


if __name__ == "__main__":
    main()
