"""Molecular dynamics with any potential, in segments, so that a stopped run can continue.

A run takes every starting structure through the same legs (constant pressure, volume or energy; the
temperature may rise). Two engines integrate the same scheme in float64, whatever the precision of
the model, and give the same trajectory up to rounding. The scheme is BAOAB for the atoms
(Leimkuhler and Matthews, DOI 10.1063/1.4802990) with a Langevin piston on the volume (Quigley and
Probert, DOI 10.1063/1.1755657; isotropic, the shape of the cell is kept). The engines are:

- `ase`: ASE's own `LangevinBAOAB`, one structure after the other (ase_engine.py);
- `torch-sim`: many structures at once with a torch-sim model (batched_engine.py).

A leg `nve` is velocity Verlet without thermostat.

A leg is divided into segments. Each segment starts from the state that the previous segment wrote
(positions, momenta, cell, momentum of the piston; all in float64). It has its own random generator,
which depends on the seed, the name of the run, the structure and the number of the segment. A run
that was killed and restarted therefore gives the same numbers as a run without interruption; on a
CPU they agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.limits import Limits
from pestle.protocols.dynamics.segments import Group, Make, Meter, Plan
from pestle.protocols.dynamics.starts import movable
from pestle.protocols.dynamics.trajectory import Trajectory, write_setup
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph


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
    """Run every structure through the legs; `Trajectory(raw, name)` reads the result.

    Momenta are drawn from the Maxwell–Boltzmann distribution at the first leg's temperature. The
    centre of mass is at rest, and molecules do not rotate. Constraints of the structures are
    ignored. Structures that are not periodic in three directions run `npt` legs at constant volume.

    A structure is stopped and removed if its energy or forces are not finite, or if it is beyond
    the limits. Step and reason are stored. The other structures continue with unchanged noise.

    A second call continues after the last segment that was written. It returns at once if all
    segments exist.

    Args:
        potential: gives the forces.
        starts: starting structures with two or more atoms. Charge 0 and spin multiplicity 1 are
            assumed if a structure gives none.
        legs: the legs in order; legs of zero length are skipped.
        clock: time step, coupling constants and intervals.
        raw: folder for the segments `NAME-…` and, at the end, for `trajectory-NAME-K.xyz` of each
            structure K.
        name: name of the run, unique within `raw`.
        seed: seed of momenta and noise.
        title: title of the progress bar.
        limits: a structure beyond these limits is stopped; by default `Limits()`.

    Raises:
        PestleError: there is nothing to run, a structure is a single atom, or the engine cannot
            simulate a structure.
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
    trajectory = Trajectory(raw, name)
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
    """Return (engine, numbers of the structures that it moves at once), in a fixed order.

    All structures of a batch have the same periodicity, charge and spin. Together they have at most
    as many edges as the model can predict at once.
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
    """Divide structures into batches that have at most `batch_edges` edges each at the start."""
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
    """Return the function that makes the engine of a segment; its library is imported only here."""
    if name == "ase":
        from pestle.protocols.dynamics.ase_engine import AseMover

        return AseMover.maker(potential)
    from pestle.protocols.dynamics.batched_engine import BatchMover

    return BatchMover.maker(potential)
