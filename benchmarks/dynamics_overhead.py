"""CPU time of molecular dynamics and relaxation in the network and outside of it.

    OMP_NUM_THREADS=1 python benchmarks/dynamics_overhead.py path/to/Ih_train.xyz

Dynamics of the first structure of the file (384 atoms of ice in the reference data) as
`pestle probe md` runs them, limits and frames on disk included, with both engines in single
precision, and the relaxation of random crystals of 8 atoms as `pestle probe rss` does it, in double
precision. Printed are CPU seconds of a step in `Foundation.predict` and outside of it, the share
outside, and how many searches for neighbours there were, one for each structure, those for
overlapping atoms (every tenth step) among them. pestle-seed0 is no model of ice: the structure
warms up and is lost after some 60 steps, and atoms move more than in real ice.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.runs import run_dynamics
from pestle.protocols.potential import ModelPotential
from pestle.protocols.raw import RawFolder
from pestle.protocols.rss.crystals import random_crystals
from pestle.protocols.rss.relaxation import relax
from pestle.settings.probe import RssSettings
from pestle.structures import neighbours
from pestle.structures.frame import Frame
from pestle.structures.generation.compositions import parse_formula
from pestle.structures.reading import read_frames


class Watch:
    """CPU seconds in the calls of a function, and their number."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    @contextmanager
    def over(self, owner: Any, name: str) -> Iterator[None]:
        """Time the calls of `owner.name` meanwhile."""
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - start
                self.calls += 1

        with patch.object(owner, name, timed):
            yield


def measure(name: str, model: Foundation, run: Callable[[], Any], profile: bool) -> None:
    """Print what a run costs in the network and outside."""
    network, search = Watch(), Watch()
    profiler = cProfile.Profile()
    with network.over(type(model), "predict"), search.over(neighbours, "neighbour_list"):
        start = time.process_time()
        if profile:
            profiler.enable()
        run()
        profiler.disable()
        total = time.process_time() - start
    outside, steps = total - network.seconds, network.calls
    print(
        f"{name:<28}{steps:>6} steps {1e3 * network.seconds / steps:>8.2f} ms in the network "
        f"{1e3 * outside / steps:>7.2f} ms outside {outside / total:>7.1%} "
        f"{search.calls:>6} searches",
        flush=True,
    )
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def dynamics(
    potential: ModelPotential, frame: Frame, engine: Any, ensemble: Any, steps: int
) -> None:
    """So many steps of 1 fs at 300 K."""
    leg = Leg("steady", 1e-3 * steps, ensemble, 300.0)
    with tempfile.TemporaryDirectory() as folder:
        run_dynamics(
            potential,
            [frame],
            [leg],
            Clockwork(1.0, engine=engine),
            RawFolder(Path(folder) / "raw", {}),
            name="ice",
            seed=0,
            title="ice",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structure", type=Path, help="file whose first structure is moved")
    parser.add_argument("--model", default="pestle-seed0")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--crystals", type=int, default=20)
    parser.add_argument("--formula", default="NaCl")
    parser.add_argument("--max-steps", type=int, default=100, help="of the relaxation")
    parser.add_argument("--profile", action="store_true", help="what takes the time (slows it)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    model = load_foundation(options.model)
    frame = read_frames([str(options.structure)]).frames[0]
    single = ModelPotential(options.model, model.with_dtype(torch.float32))
    for engine in ("ase", "torch-sim"):
        for ensemble in ("nvt", "npt"):
            run = partial(dynamics, single, frame, engine, ensemble)
            run(3)  # warm up
            name = f"{len(frame)} atoms, {engine}, {ensemble}"
            measure(name, model, partial(run, options.steps), options.profile)

    settings = RssSettings(structures=8 * options.crystals, max_atoms=8)
    drawn = random_crystals(parse_formula(options.formula), settings, seed=0)
    crystals = [c for c in drawn if len(c) == 8][: options.crystals]
    double = ModelPotential(options.model, model.with_dtype(torch.float64)).batched()
    run = partial(relax, double, crystals, pressure=50.0, fmax=0.01)
    run(max_steps=2)  # warm up
    name = f"{len(crystals)} crystals of 8 atoms"
    measure(name, model, partial(run, max_steps=options.max_steps), options.profile)


if __name__ == "__main__":
    main()
