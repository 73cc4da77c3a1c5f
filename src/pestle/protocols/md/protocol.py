"""Protocol `md`: whether molecular dynamics with the model stays stable (paper Table 1).

Every starting structure has two runs: one at constant temperature, followed by a part at constant
energy, and one with rising temperature. A run is unstable if a bond of a molecule breaks, if atoms
overlap, if temperature or volume leave their limits, or if the model gives a value that is not
finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from ase import units

from pestle.errors import PestleError
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.limits import Limits, closest_overlap
from pestle.protocols.dynamics.runs import run_dynamics
from pestle.protocols.dynamics.starts import default_timestep, starting_structures
from pestle.protocols.dynamics.trajectory import Run, Trajectory
from pestle.protocols.md import DECLARATION
from pestle.protocols.md.checks import Broken, drift, lost_bond
from pestle.protocols.md.findings import assess, story
from pestle.protocols.md.numbers import MdNumbers, PotentialNumbers, RunNumbers
from pestle.protocols.md.shown import charts, curves, tables
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Flagged
from pestle.records.results import Measured
from pestle.settings.probe import MdSettings
from pestle.structures.frame import Frame
from pestle.wording import counted

#: Fraction of the steady leg, at its end, over which temperature and volume are averaged.
SETTLED = 0.5


def starts(inputs: Inputs, settings: MdSettings) -> list[Frame]:
    """Return the starting structures of the runs.

    Raises:
        PestleError: there are none.
    """
    return starting_structures(inputs.frames, settings.structures, "md")


def parts(settings: MdSettings) -> dict[str, list[Leg]]:
    """Return name of a run → its legs; runs of zero length are left out."""
    steady = Leg(
        "steady",
        settings.time,
        settings.ensemble,
        settings.temperature,
        pressure=settings.pressure,
    )
    tail = Leg("nve", settings.nve_time, "nve", settings.temperature)
    ramp = Leg(
        "ramp",
        settings.ramp_time,
        settings.ramp_ensemble,
        settings.ramp_from,
        settings.ramp_to,
        pressure=settings.pressure,
    )
    found = {"steady": [steady, tail], "ramp": [ramp]}
    return {name: legs for name, legs in found.items() if any(leg.time > 0 for leg in legs)}


def check(inputs: Inputs, settings: MdSettings, potentials: Sequence[Potential]) -> None:
    """Check the starting structures and the potentials.

    Raises:
        PestleError: there is nothing to run, a starting structure is broken, or a run needs a
            stress that a potential does not give.
    """
    for frame in starts(inputs, settings):
        broken = closest_overlap(frame.atoms, settings.overlap)
        if broken is not None:
            raise PestleError(
                f"{broken}, before anything has moved",
                where=frame.where,
                fix="Leave the structure out, or lower md.overlap if it is meant so.",
            )
    crystal = next((frame for frame in starts(inputs, settings) if frame.is_periodic), None)
    legs = [leg for part in parts(settings).values() for leg in part if leg.time > 0]
    if not legs:
        raise PestleError(
            "all its parts have no length", where="md", fix="Set md.time or md.ramp_time."
        )
    if crystal is None or not any(leg.ensemble == "npt" for leg in legs):
        return
    for potential in potentials:
        # A network always gives a stress.
        if isinstance(potential, ModelPotential) or potential.predict([crystal])[0].stress is not (
            None
        ):
            continue
        raise PestleError(
            f"{potential.name} gives no stress, which constant pressure (npt) needs",
            where="md",
            fix="Set md.ensemble and md.ramp_ensemble to nvt.",
        )


def calculate(potential: Potential, inputs: Inputs, settings: MdSettings, raw: RawFolder) -> None:
    """Calculate the trajectories of all structures.

    Args:
        potential: the potential.
        inputs: gives structures and seed.
        settings: settings of the protocol.
        raw: folder for the trajectories.
    """
    frames = starts(inputs, settings)
    clock = Clockwork(
        timestep=settings.timestep or default_timestep(frames),
        friction=settings.friction,
        every=settings.every,
        segment=settings.segment,
        barostat=settings.barostat,
        engine=settings.engine,
    )
    limits = Limits(settings.hot, settings.volume_change, settings.overlap)
    for name, legs in parts(settings).items():
        run_dynamics(
            potential,
            frames,
            legs,
            clock,
            raw,
            name=name,
            seed=inputs.seed,
            title=f"{name} dynamics of {potential.name}",
            limits=limits,
        )
    raw.finish()


def analyse(raws: Mapping[str, RawFolder], _inputs: Inputs, settings: MdSettings) -> MdNumbers:
    """Return the result of every run.

    Args:
        raws: name of the potential → its trajectories.
        settings: settings of the protocol.
    """
    return MdNumbers(potentials={name: _of_potential(raw, settings) for name, raw in raws.items()})


def _of_potential(raw: RawFolder, settings: MdSettings) -> PotentialNumbers:
    runs, shown, simulated = [], [], 0.0
    for part in parts(settings):
        trajectory = Trajectory(raw, part)
        for k, where in enumerate(trajectory.where):
            run = trajectory.run(k)
            runs.append(run_numbers(run, settings, part, k, where.rpartition("/")[2]))
            shown.append((part, k, run))
        simulated += trajectory.simulated
    unstable = sum(not run.stable for run in runs)
    return PotentialNumbers(
        runs=runs,
        n_runs=len(runs),
        n_unstable=unstable,
        unstable_share=unstable / len(runs),
        simulated=simulated,
        curves=curves(shown),
    )


def run_numbers(
    run: Run, settings: MdSettings, part: str = "steady", structure: int = 0, where: str = ""
) -> RunNumbers:
    """Describe the result of one run.

    Args:
        run: the trajectory.
        settings: settings of the protocol; only `bond_stretch` is used.
        part: `steady` or `ramp`.
        structure: number of the structure.
        where: file and frame of the structure.
    """
    n_atoms = len(run.numbers)
    known = partial(
        RunNumbers,
        part=part,
        structure=structure,
        where=where,
        formula=run.atoms(0).get_chemical_formula(),
        atoms=n_atoms,
        simulated=float(run.time[-1]),
        stress=float(run.stress[0]) if np.isfinite(run.stress[0]) else None,
    )
    broken, transfers = lost_bond(run, settings.bond_stretch)
    failure = _failure(run, broken)
    end = len(run) if failure is None else failure[0]
    known = partial(known, transfers=tuple(move.name for move in transfers if move.frame < end))
    if failure is not None:
        frame, kind, reason = failure
        return known(
            stable=False,
            kind=kind,
            reason=reason,
            leg=run.legs[int(run.leg[frame])],
            time=float(run.time[frame]),
            step=int(run.step[frame]),
            frame=frame,
            thermostat=float(run.thermostat[frame]),
        )
    tail = run.within("nve")
    slope = drift(run.time[tail], 1e3 * run.total[tail] / n_atoms)
    if slope is not None:
        left = max(0.0, abs(slope[0]) - slope[1])
        known = partial(known, drift=slope[0], drift_error=slope[1], drift_judged=left)
    steady = np.flatnonzero(run.within("steady"))
    if not len(steady):
        return known(stable=True)
    steady = steady[-max(1, round(SETTLED * len(steady))) :]
    volume = float(run.volume[steady].mean())
    grams = run.atoms(0).get_masses().sum() / units.kg * 1e3
    return known(
        stable=True,
        thermostat=float(run.thermostat[steady[-1]]),
        temperature=float(run.temperature[steady].mean()),
        temperature_spread=float(run.temperature[steady].std()),
        volume=volume / n_atoms,
        density=float(grams / (volume * 1e-24)),
    )


def _failure(run: Run, broken: Broken | None) -> tuple[int, str, str] | None:
    """Return frame, kind and reason of the first fault of a run; `None` if it is stable.

    A bond may break before the run is stopped.
    """
    end = len(run) if run.stopped is None else len(run) - 1
    if broken is not None and broken.frame < end:
        text = f"it lost its bond {broken.name} ({broken.before:.2f} → {broken.after:.2f} Å)"
        return broken.frame, "bond", text
    if run.stopped is not None:
        return len(run) - 1, run.stopped.kind, run.stopped.reason
    return None


def flagged(raws: Mapping[str, RawFolder], measured: Measured[MdNumbers]) -> list[Flagged]:
    """Return the structures at the time when they became unstable."""
    found = []
    for name, potential in measured.numbers.potentials.items():
        for run in potential.runs:
            if run.frame is None:  # stable
                continue
            trajectory = Trajectory(raws[name], run.part)
            atoms = trajectory.run(run.structure).atoms(run.frame)
            title = f"{run.part}, structure {run.structure} ({run.where})"
            found.append(Flagged(name, title, story(run), atoms))
    return found


def extent(inputs: Inputs, settings: MdSettings) -> str:
    """Describe how much is calculated, in a few words.

    The ensembles are those that are really used: a structure that is not periodic has no pressure.
    """
    frames = starts(inputs, settings)
    periodic = {frame.is_periodic for frame in frames}
    ensemble: str = settings.ensemble if True in periodic else "nvt"
    if len(periodic) > 1 and ensemble != "nvt":
        ensemble += " (nvt where not periodic)"
    many = counted(len(frames), "structure")
    told = []
    if settings.time:
        told.append(f"{settings.time:g} ps {ensemble} at {settings.temperature:g} K")
    if settings.nve_time:
        told.append(f"{settings.nve_time:g} ps nve")
    if settings.ramp_time:
        ramp = f"{settings.ramp_from:g} → {settings.ramp_to:g} K over {settings.ramp_time:g} ps"
        told.append(f"ramp {ramp}")
    return f"{many}: {', '.join(told)}"


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=MdSettings,
    numbers=MdNumbers,
    structures=starts,
    elements=lambda _inputs: (),
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=extent,
    flagged=flagged,
    check=check,
    analysis_settings=("bond_stretch",),
    version=2,  # the stress is kept
    quick={
        "structures": 2,
        "time": 0.25,
        # A part at constant energy that is long enough to detect drift would double the cost.
        "nve_time": 0.0,
        "ramp_time": 0.15,
        "every": 0.005,
        "segment": 0.05,
    },
)
