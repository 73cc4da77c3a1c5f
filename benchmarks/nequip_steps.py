"""A NequIP-type model in Pestle against the same model in plain e3nn, side by side.

    python benchmarks/nequip_steps.py --model nequix-omat-1.nqx --frames frames.xyz \\
        [--count 5] [--repeats 7]

Both evaluate (energy and forces) and train (gradient of a loss of energies and forces) on one batch
of `--count` frames, in float64, on one thread, in turn. Printed are medians of the CPU time and
their ratio. The plain formulation is the one that the tests compare Pestle's with.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from pestle.foundations import load_foundation
from pestle.structures.graphs import collate, make_graph
from pestle.structures.reading import read_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from nequip_reference import Reference


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", required=True)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    model = load_foundation(options.model, dtype=torch.float64)
    plain = Reference(options.model)
    weights = [plain.readout_weight]
    for layer in plain.layers:
        weights += [*layer.radial, layer.up_weight, layer.down_weight, layer.skip_weight]
        weights += layer.norm or []
    for weight in weights:
        weight.requires_grad_(True)
    ours = list(model.parameters())

    frames = read_frames([options.frames]).frames[: options.count]
    batch = collate([make_graph(f, model.cutoff, index=k) for k, f in enumerate(frames)])
    columns = model.columns(batch)
    sender, receiver = batch.edge_index
    shifts = torch.einsum("ei,eij->ej", batch.unit_shifts, batch.cell[batch.batch[sender]])

    def plain_forces(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        positions = batch.positions.clone().requires_grad_(True)
        vectors = positions[receiver] - positions[sender] + shifts
        energy = plain.shares(columns, vectors, sender, receiver).sum()
        return energy, torch.autograd.grad(energy, positions, create_graph=training)[0]

    def train(energy: torch.Tensor, forces: torch.Tensor, which: list[torch.Tensor]) -> None:
        torch.autograd.grad(energy.pow(2) + forces.pow(2).sum(), which)

    def train_ours() -> None:
        said = model.predict(batch, training=True)
        train(said.interaction_energy.sum(), said.forces, ours)

    said = model.predict(batch)
    forces = plain_forces(training=False)[1]
    print(
        f"{len(frames)} frames, {len(batch.numbers)} atoms, {batch.n_edges} edges; largest "
        f"difference {float((said.forces + forces).abs().max()):.1e} eV/Å"
    )
    runs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "evaluation": (lambda: model.predict(batch), lambda: plain_forces(training=False)),
        "training step": (train_ours, lambda: train(*plain_forces(training=True), weights)),
    }
    for name, pair in runs.items():
        spent: tuple[list[float], list[float]] = ([], [])
        for run in pair:
            run()
        for _ in range(options.repeats):
            for run, list_of in zip(pair, spent, strict=True):
                list_of.append(seconds(run))
        pestle, e3nn = (1e3 * median(values) for values in spent)
        print(
            f"{name:<13} Pestle {pestle:8.0f} ms   e3nn {e3nn:8.0f} ms   ratio {pestle / e3nn:.2f}"
        )


if __name__ == "__main__":
    main()
