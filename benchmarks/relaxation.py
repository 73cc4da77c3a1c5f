"""Batched relaxation (torch-sim) against ASE's, one structure at a time, from the same crystals.

    OMP_NUM_THREADS=1 python benchmarks/relaxation.py --model pestle-seed0 --formula NaCl --control

Random crystals as `pestle probe rss` starts from, FIRE on atoms and cell under a pressure, same
model, tolerance and step limit. Printed are how many end in the same minimum (energy per atom and
volume), the largest differences among those, and both times, taken one after the other in one run.
`--control` relaxes with ASE once more, from crystals displaced by DISPLACED: symmetric crystals sit
on saddles, and which minimum they fall into is decided by the last digits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

import pestle
from pestle.protocols.potential import ModelPotential
from pestle.protocols.rss.crystals import random_crystals
from pestle.protocols.rss.relaxation import relax
from pestle.settings.probe import RssSettings
from pestle.structures.generation.compositions import parse_formula

#: eV/atom and relative volume within which two relaxed crystals are the same minimum.
SAME_ENERGY, SAME_VOLUME = 2e-3, 1e-2
#: Å, standard deviation of each coordinate.
DISPLACED = 1e-8


def with_ase(
    crystals: Sequence[Atoms], calculator: Calculator, options: argparse.Namespace
) -> np.ndarray:
    """Of each crystal whether it relaxed, its energy (eV/atom) and volume (Å³/atom) [n, 3]."""
    found = []
    for crystal in crystals:
        atoms = crystal.copy()
        atoms.calc = calculator
        cell = FrechetCellFilter(atoms, scalar_pressure=options.pressure * units.GPa)
        done = FIRE(cell, logfile=None).run(fmax=options.fmax, steps=options.max_steps)
        size = len(atoms)
        found.append((done, atoms.get_potential_energy() / size, atoms.get_volume() / size))
    return np.array(found, dtype=float)


def compare(name: str, first: np.ndarray, second: np.ndarray) -> None:
    """Print how far two sets of relaxed crystals agree."""
    energy, volume = np.abs(first - second)[:, 1], np.abs(first / second - 1)[:, 2]
    same = (energy < SAME_ENERGY) & (volume < SAME_VOLUME)
    both = (first[:, 0] * second[:, 0]).astype(bool)
    print(
        f"{name}: {both.sum()} of {len(both)} relaxed with both, {same.sum()} in the same minimum "
        f"(there to {1e3 * energy[same].max(initial=0):.2g} meV/atom and "
        f"{100 * volume[same].max(initial=0):.2g} % of the volume; else to "
        f"{1e3 * energy.max():.3g} meV/atom and {100 * volume.max():.2g} %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pestle-seed0")
    parser.add_argument("--formula", default="NaCl")
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--max-atoms", type=int, default=8)
    parser.add_argument("--pressure", type=float, default=50.0, help="GPa")
    parser.add_argument("--fmax", type=float, default=0.01, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    potential = ModelPotential(options.model, pestle.load(options.model, dtype=torch.float64))
    settings = RssSettings(structures=options.structures, max_atoms=options.max_atoms)
    crystals = random_crystals(parse_formula(options.formula), settings, seed=0)
    model, calculator = potential.batched(), potential.calculator()
    how = {"pressure": options.pressure, "fmax": options.fmax}
    relax(model, crystals[:1], max_steps=2, **how)  # warm up

    start = time.perf_counter()
    found = relax(model, crystals, max_steps=options.max_steps, **how)
    middle = time.perf_counter()
    single = with_ase(crystals, calculator, options)
    end = time.perf_counter()

    rows = [
        (f.status == "relaxed", f.energy / len(f.atoms), f.atoms.get_volume() / len(f.atoms))
        for f in found
    ]
    print(f"{options.formula}, {options.pressure:g} GPa, {options.fmax:g} eV/Å")
    compare("torch-sim and ASE", np.array(rows, dtype=float), single)
    if options.control:
        rng = np.random.default_rng(0)
        for atoms in crystals:
            atoms.positions += rng.normal(scale=DISPLACED, size=atoms.positions.shape)
        compare("ASE and ASE, displaced", with_ase(crystals, calculator, options), single)
    batch, alone = middle - start, end - middle
    print(f"torch-sim {batch:.1f} s, ASE {alone:.1f} s: {alone / batch:.2g} times as fast")


if __name__ == "__main__":
    main()
