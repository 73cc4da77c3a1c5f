"""Pestle's kernels against mace's own modules: training steps by method, and evaluations.

    python benchmarks/mace_kernels.py                                     # medium shape, 64 atoms
    python benchmarks/mace_kernels.py --elements 89 --atoms 8 64 256
    python benchmarks/mace_kernels.py --shape seed0 --dtype float64
    python benchmarks/mace_kernels.py --device cuda --tf32 --kernels cuequivariance pestle

Both run the same weights on the same batch in one process, in turns, in a new order every round.
A step is the forward pass, the loss on energies and forces, and the backward pass to the trained
parameters, as in training; `multihead` has two heads, half of the structures in each. Printed are
medians over the rounds: milliseconds with mace's modules, and its time over that of the kernels, on
the clock and in CPU time. `--limit` prints what the device does in a plain matrix product, and how
many operations the largest products of a step need.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import method_steps
import numpy as np
import torch

from pestle.adaptation.base import Adaptation
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.memory import keep_freed_memory
from pestle.structures.graphs import GraphBatch

METHODS = ("naive", "lora r=4", "freeze-first", "freeze-backbone")


def start_of(options: argparse.Namespace) -> MaceFoundation:
    """The model of the shape asked for, on the device."""
    if options.shape == "medium":
        model = method_steps.model(options)
    else:
        model = load_foundation("pestle-seed0", dtype=getattr(torch, options.dtype))
    assert isinstance(model, MaceFoundation)
    return model.to(options.device)


def runs_of(start: MaceFoundation, graphs: GraphBatch) -> dict[str, tuple[Foundation, Callable]]:
    """Name → the model that runs, and what is timed."""
    found: dict[str, tuple[Foundation, Callable]] = {}

    def timed(adaptation: Adaptation, batch: GraphBatch) -> Callable:
        return lambda: method_steps.step(adaptation, batch)

    for name, adaptation in method_steps.adaptations(start).items():
        if name in METHODS:
            found[name] = (adaptation.model, timed(adaptation, graphs))
    two = start.with_heads({"Default": start.heads[0], "pt_head": start.heads[0]})
    both = graphs.with_head(0)
    both.head = torch.arange(graphs.n_graphs, device=graphs.head.device) % 2
    heads = Adaptation(two, tuple(name for name, _ in two.named_parameters()))
    found["multihead"] = (two, timed(heads, both))
    evaluated = start.copy().requires_grad_(False)
    found["evaluation"] = (evaluated, lambda: evaluated.predict(graphs))
    return found


def seconds(run: Callable, device: torch.device) -> tuple[float, float]:
    """(on the clock, CPU) of a run."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - clock, time.process_time() - cpu


def compare(options: argparse.Namespace, start: MaceFoundation, n_atoms: int) -> None:
    """Print the table of one batch."""
    options.atoms = n_atoms
    graphs = method_steps.structures(options, start.cutoff).to(start.device)
    print(
        f"\n{options.shape}, {len(start.elements)} elements, {options.dtype}, {start.device}, "
        f"{torch.get_num_threads()} threads: {graphs.n_graphs} structures, {len(graphs.numbers)} "
        f"atoms, {graphs.n_edges} edges"
    )
    columns = "".join(f"{name + ': clock':>22}{'CPU':>8}" for name in options.kernels)
    print(f"{'':<17}{'mace, ms':>10}{columns}")
    generator = np.random.default_rng(1)
    for name, (model, run) in runs_of(start, graphs).items():
        spent: dict[str, list[tuple[float, float]]] = {k: [] for k in ("mace", *options.kernels)}
        for round_ in range(options.rounds + 1):
            for kernels in generator.permutation(list(spent)).tolist():
                model.use_kernels(kernels)
                if round_ == 0:  # the first run pays for what is made once
                    run()
                spent[kernels].append(seconds(run, start.device))
        reference = np.array(spent["mace"][1:])
        line = f"{name:<17}{np.median(reference[:, 0]) * 1e3:>10.1f}"
        for kernels in options.kernels:
            ratio = np.median(reference / np.array(spent[kernels][1:]), axis=0)
            line += f"{ratio[0]:>22.2f}{ratio[1]:>8.2f}"
        if start.device.type == "cuda":
            line += f"   peak {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB"
            torch.cuda.reset_peak_memory_stats()
        print(line, flush=True)


def print_limit(options: argparse.Namespace, start: MaceFoundation) -> None:
    """What the core does in a product of two 1024 × 1024 matrices, and what a step needs."""
    a = torch.randn(1024, 1024, dtype=start.dtype, device=start.device)
    a @ a
    best = min(seconds(lambda: a @ a, start.device)[0] for _ in range(10))
    rate = 2 * 1024**3 / best
    options.atoms = options.all_atoms[-1]
    graphs = method_steps.structures(options, start.cutoff)
    forward = 0.0
    start.use_kernels("pestle")
    for *_, layer in start._kernels.layers:
        paths = layer.convolution.paths
        width = layer.interaction.conv_tp_weights.hs[-2]
        couple = sum(
            2 * q * paths.channels[p.block]
            for q, p in zip(paths.couplings, paths.paths, strict=True)
        )
        forward += graphs.n_edges * (2 * width * sum(paths.weights) + couple)
        table = layer.contraction.table
        channels = layer.interaction.irreps_out[0].mul
        forward += 2 * len(graphs.numbers) * channels * int(np.prod(table.shape))
        for linear in (layer.convolution.linear, layer.after):
            sizes = [i.path_shape for i in linear.layer.instructions]
            dims = [linear.outputs[i.i_out][0] for i in linear.layer.instructions]
            forward += len(graphs.numbers) * sum(
                2 * a * b * d for (a, b), d in zip(sizes, dims, strict=True)
            )
    # Forward, forces, and the second derivatives: each product of two gives six in all.
    print(
        f"\nplain matrix product {rate / 1e9:.0f} GFlop/s; {len(graphs.numbers)} atoms need "
        f"{forward / 1e9:.2f} GFlop forward (radial networks, messages, contractions, linear "
        f"layers), about {6 * forward / 1e9:.1f} a training step: {6e3 * forward / rate:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=["medium", "seed0"], default="medium")
    parser.add_argument("--elements", type=int, default=4, help="of the medium shape, 4 to 89")
    parser.add_argument("--atoms", type=int, nargs="+", default=[64], dest="all_atoms")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--kernels", nargs="+", default=["pestle"])
    parser.add_argument("--tf32", action="store_true", help="let CUDA round products to TF32")
    parser.add_argument("--limit", action="store_true")
    options = parser.parse_args()
    options.channels, options.max_ell = 128, 3
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as training and predictions do
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    start = start_of(options)
    for n_atoms in options.all_atoms:
        compare(options, start, n_atoms)
    if options.limit:
        print_limit(options, start)


if __name__ == "__main__":
    main()
