"""Time of a training step of LoRA and of layer freezing, relative to naive fine-tuning.

A step is the forward pass, the loss on energies and forces, and the backward pass to the trained
parameters alone, as the training loop makes it. The model has the shape of medium-omat-0
(9,063,204 parameters with its 89 elements) with random weights, or a smaller one. All methods take
their steps in turns, in a new order every round, on one thread; printed are the medians over the
rounds of the ratio to the naive step of the same round, in time on the clock and in CPU time, which
other programs on the machine disturb less.

    python benchmarks/method_steps.py                     # medium shape cut to four elements
    python benchmarks/method_steps.py --elements 89 --rounds 5
    python benchmarks/method_steps.py --channels 32 --max-ell 2 --atoms 16
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from ase.build import bulk

from pestle.adaptation.base import Adaptation, Case
from pestle.adaptation.methods import freeze, lora, naive
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation, Provenance
from pestle.foundations.mace import architecture
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.settings.adaptation import LoraSettings
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs
from pestle.training.losses import loss_weights, make_loss

#: Elements of medium-omat-0, those of the frames first.
ELEMENTS = [1, 8, 11, 17] + [z for z in range(2, 95) if z not in (8, 11, 17, 84, 85, 86, 87, 88)]


def model(options: argparse.Namespace) -> Foundation:
    """Random weights in the shape asked for."""
    small = load_foundation("pestle-seed0")
    assert isinstance(small, MaceFoundation)
    channels = options.channels
    description = architecture.describe(small.network) | {
        "dtype": options.dtype,
        "atomic_numbers": sorted(ELEMENTS[: options.elements]),
        "r_max": 6.0,
        "num_bessel": 10,
        "max_ell": options.max_ell,
        "hidden_irreps": f"{channels}x0e + {channels}x1o",
        "correlation": [3, 3],
        "radial_MLP": [64, 64, 64],
        "MLP_irreps": "16x0e",
        "pair_repulsion": True,
        "distance_transform": "Agnesi",
        "avg_num_neighbors": [60.0, 60.0],
    }
    return MaceFoundation(architecture.build(description), provenance=Provenance("medium shape"))


def structures(options: argparse.Namespace, cutoff: float) -> GraphBatch:
    """Rattled rock salt with random forces, so many atoms in all."""
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(max(1, options.atoms // 8)):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
        forces = generator.normal(size=atoms.positions.shape)
        frames.append(Frame(atoms, energy=float(generator.normal()), forces=forces))
    return collate(make_graphs(frames, cutoff, dtype=getattr(torch, options.dtype)))


def adaptations(start: Foundation) -> dict[str, Adaptation]:
    """Every method on a copy of the model; only what it trains requires gradients."""

    def case(rank: int = 4) -> Case:
        return Case(start, "Default", [], RunSettings(lora=LoraSettings(rank=rank)))

    made = {
        "naive": naive.adapt(case()),
        "lora r=4": lora.adapt(case(4)),
        "lora r=16": lora.adapt(case(16)),
        "freeze-first": freeze.adapt_first(case()),
        "freeze-backbone": freeze.adapt_backbone(case()),
    }
    for adaptation in made.values():
        trained = set(adaptation.trainable)
        for name, parameter in adaptation.model.named_parameters():
            parameter.requires_grad_(name in trained)
    return made


def step(adaptation: Adaptation, graphs: GraphBatch) -> tuple[float, float]:
    """(seconds on the clock, CPU seconds) of one step without the optimiser."""
    settings = RunSettings().loss
    loss, weights = make_loss(settings), loss_weights(settings)
    named = dict(adaptation.model.named_parameters())
    parameters = [named[name] for name in adaptation.trainable]
    for parameter in parameters:
        parameter.grad = None
    clock, cpu = time.perf_counter(), time.process_time()
    prediction = adaptation.model(graphs, training=True)
    loss.terms(prediction, graphs).loss(weights).backward(inputs=parameters)
    return time.perf_counter() - clock, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=4, help="elements of the model, 4 to 89")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--max-ell", type=int, default=3)
    parser.add_argument("--atoms", type=int, default=32, help="atoms in the batch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = model(options)
    graphs = structures(options, start.cutoff)
    methods = adaptations(start)
    print(
        f"{sum(p.numel() for p in start.parameters()):,} parameters, {options.elements} elements, "
        f"{options.dtype}; {graphs.n_graphs} structures, {len(graphs.numbers)} atoms, "
        f"{graphs.n_edges} edges; {options.rounds} rounds on one thread"
    )
    for adaptation in methods.values():  # the first step pays for compilation
        step(adaptation, graphs)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    generator = np.random.default_rng(1)
    for _ in range(options.rounds):
        for name in generator.permutation(list(methods)).tolist():
            times[name].append(step(methods[name], graphs))
    reference = np.array(times["naive"])
    print(f"{'':<17}{'trained':>10}{'seconds':>10}{'ratio':>8}{'CPU ratio':>11}")
    for name, adaptation in methods.items():
        found = np.array(times[name])
        ratio, cpu = np.median(found / reference, axis=0)
        sizes = {n: p.numel() for n, p in adaptation.model.named_parameters()}
        share = sum(sizes[n] for n in adaptation.trainable) / sum(sizes.values())
        seconds = np.median(found[:, 0])
        print(f"{name:<17}{share:>10.2%}{seconds:>10.3f}{ratio:>8.3f}{cpu:>11.3f}", flush=True)


if __name__ == "__main__":
    main()
