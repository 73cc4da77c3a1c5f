"""Molecular dynamics of any potential, in pieces that go on where a stopped run left off.

A run takes every starting structure through the same legs (constant pressure, volume or energy; a
temperature that may rise). Two engines integrate one scheme, BAOAB for the atoms (Leimkuhler and
Matthews, DOI 10.1063/1.4802990) with a Langevin piston on the volume (Quigley and Probert,
DOI 10.1063/1.1755657; isotropic, the shape of the cell stays), in float64 whatever the precision of
the model, and give the same trajectory up to rounding:

- `ase`: ASE's own `LangevinBAOAB`, one structure after the other (ase_engine.py);
- `torch-sim`: many structures at once through a torch-sim model (batched_engine.py).

Velocity Verlet, without thermostat, is their leg `nve`.

A leg is cut into segments. A segment starts from what was written at the end of the one before
(positions, momenta, cell, momentum of the piston; all of it float64) and draws its noise from a
generator of its own, which seed, name of the run, structure and number of the segment determine. A
run that was killed therefore ends with the numbers of one that was not: on a CPU to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.protocols.dynamics.body import Body, Clockwork, Leg, Limits
from pestle.protocols.dynamics.segments import Group, Make, Meter, Plan
from pestle.protocols.dynamics.starts import movable
from pestle.protocols.dynamics.trajectory import read_trajectory, write_setup
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph

__all__ = [
    "Clockwork",
    "Leg",
    "Limits",
    "read_trajectory",
    "run_dynamics",
]


def run_dynamics(
    potential: Potential,
    starts: Sequence[Frame],
    legs: Sequence[Leg],
    clock: Clockwork,
    raw: RawFolder,
    *,
    name: str,
    seed: int,
    title: str,
    limits: Limits | None = None,
) -> None:
    """Run every structure through the legs; `read_trajectory(raw, name)` reads what came out.

    Momenta are drawn from the Maxwell–Boltzmann distribution of the first leg's temperature, the
    centre of mass at rest; molecules do not rotate either. Constraints of the structures are not
    kept. Structures that are not periodic in three directions run legs `npt` at constant volume.

    A structure whose energy or forces are not finite, or that is beyond the limits, is stopped and
    taken out, with step and reason; the others go on with their own noise.

    Calling it again goes on from the last segment that was written, and returns at once where all
    of them were.

    Args:
        potential: moves the atoms.
        starts: the structures, of two atoms or more; charge and spin 0 and 1 where not given.
        legs: what follows on one another; those of no length are left out.
        clock: time step and the like.
        raw: takes segments `NAME-…` and, at the end, `trajectory-NAME-K.xyz` of each structure K.
        name: of the run, distinct within `raw`.
        seed: of momenta and noise.
        title: of the progress bar.
        limits: beyond which a structure is stopped; by default `Limits()`.

    Raises:
        PestleError: nothing to run, a single atom, or a structure that the engine cannot take.
    """
    legs = [leg for leg in legs if leg.time > 0]
    _check(starts, legs, name)
    groups = _groups(potential, starts, clock)
    write_setup(raw, name, starts, legs, clock, groups)
    plan = Plan(name, legs, clock, limits or Limits(), seed)
    with progress(title, plan.total * len(starts)) as bar:
        meter = Meter(bar, clock.timestep)
        for number, (engine, members) in enumerate(groups):
            bodies = [Body.of(starts[k], k) for k in members]
            make = _engine(engine, potential)
            Group(f"{name}-{number}", bodies, make, plan, raw, meter).run()
    trajectory = read_trajectory(raw, name)
    for k, frame in enumerate(starts):
        trajectory.write_xyz(raw.path / f"trajectory-{name}-{k}.xyz", k, frame)


def _check(starts: Sequence[Frame], legs: Sequence[Leg], name: str) -> None:
    if not starts:
        raise PestleError("there is no structure to start from", where=name)
    if not legs:
        raise PestleError("there is nothing to run: all legs have no length", where=name)
    for frame in starts:
        if not movable(frame):
            raise PestleError(
                "a single atom has no dynamics", where=frame.where, fix="Leave it out."
            )
        if frame.atoms.pbc.any() and np.linalg.matrix_rank(frame.atoms.cell[frame.atoms.pbc]) < (
            frame.atoms.pbc.sum()
        ):
            raise PestleError(
                "it is periodic, but its cell has no volume",
                where=frame.where,
                fix="Give it a cell, or set pbc to False.",
            )


def _groups(
    potential: Potential, starts: Sequence[Frame], clock: Clockwork
) -> list[tuple[str, list[int]]]:
    """(engine, numbers of the structures that it moves at once), in a fixed order.

    A batch has one periodicity, charge and spin, and no more edges than the model predicts at once.
    """
    engine = clock.engine
    if engine == "auto":
        batched = len(starts) > 1 and isinstance(potential, ModelPotential)
        engine = "torch-sim" if batched else "ase"
    groups: list[tuple[str, list[int]]] = []
    if engine == "ase":
        return [("ase", [k]) for k in range(len(starts))]

    def kind(k: int) -> tuple[bool, bool, float, float]:
        pbc, frame = starts[k].atoms.pbc, starts[k]
        return bool(pbc.all()), bool(pbc.any()), *Body.of(frame, k).charge_and_spin

    for (periodic, partly, _, _), found in groupby(sorted(range(len(starts)), key=kind), key=kind):
        members = list(found)
        if partly and not periodic:
            if clock.engine == "torch-sim":
                raise PestleError(
                    "it is periodic in some directions only, which torch-sim does not know",
                    where=starts[members[0]].where,
                    fix="Use the engine ase, or give it vacuum along the others and pbc=True.",
                )
            groups += [("ase", [k]) for k in members]
            continue
        groups += [("torch-sim", batch) for batch in _batches(potential, starts, members)]
    return groups


def _batches(
    potential: Potential, starts: Sequence[Frame], members: Sequence[int]
) -> list[list[int]]:
    """Structures whose starts have at most the `batch_edges` of a foundation together."""
    if not isinstance(potential, ModelPotential):
        return [list(members)]
    model = potential.model
    batches: list[list[int]] = [[]]
    edges = 0
    for k in members:
        own = make_graph(starts[k], model.cutoff).n_edges
        if batches[-1] and edges + own > model.batch_edges:
            batches.append([])
            edges = 0
        batches[-1].append(k)
        edges += own
    return batches


def _engine(name: str, potential: Potential) -> Make:
    """What makes the engine of a segment; imported only now, with its library."""
    if name == "ase":
        from pestle.protocols.dynamics.ase_engine import AseMover

        return AseMover.maker(potential)
    from pestle.protocols.dynamics.batched_engine import BatchMover

    return BatchMover.maker(potential)
