"""Protocol `md`: does molecular dynamics with the model stay stable (paper Table 1)?

From each starting structure two runs: one at a steady temperature, with a tail at constant
energy, and a ramp of the temperature. A run is unstable once a bond of a molecule breaks, atoms
overlap, the temperature or the volume run away, or the model gives no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import units

from pestle.errors import PestleError
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.dynamics.body import closest_overlap
from pestle.protocols.dynamics.runs import (
    Clockwork,
    Leg,
    Limits,
    read_trajectory,
    run_dynamics,
)
from pestle.protocols.dynamics.starts import default_timestep, starting_structures
from pestle.protocols.dynamics.trajectory import Run
from pestle.protocols.md.checks import drift, first_broken
from pestle.protocols.md.findings import assess, story
from pestle.protocols.md.shown import charts, curves, tables
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Flagged
from pestle.settings.probe import MdSettings
from pestle.structures.frame import Frame

#: Share of the steady leg, at its end, whose mean temperature and volume are given.
SETTLED = 0.5
#: What is not known of every run.
FIGURES = (
    *("kind", "reason", "leg", "time", "step", "frame", "thermostat", "temperature"),
    *("temperature_spread", "volume", "density", "stress"),
    *("drift", "drift_error", "drift_judged"),
)


def starts(inputs: Inputs, settings: MdSettings) -> list[Frame]:
    """Structures that the runs start from.

    Raises:
        PestleError: there is none.
    """
    return starting_structures(inputs.frames, settings.structures, "md")


def parts(settings: MdSettings) -> dict[str, list[Leg]]:
    """Name of a run → its legs; runs of no length are left out."""
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
    """Raises a PestleError where there is nothing to run, where a structure is broken before it
    starts, or a stress missing that a run needs."""
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
        # A network always has one.
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
    """Trajectories of all structures."""
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


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: MdSettings) -> dict[str, Any]:
    """What became of every run.

    Returns:
        `potentials`: name → `runs`, a list of `part` (steady or ramp), `structure` (its number),
        `where`, `formula`, `atoms`, `stable`, `simulated` (ps), and of unstable ones `kind`,
        `reason`, `leg`, `time` (ps), `step`, `thermostat` (K), `frame` (number in the trajectory);
        of the second half of the steady leg `temperature`, `temperature_spread`, `thermostat` (K),
        `volume` (Å³/atom), `density` (g/cm³); `stress` at the start (GPa, a third of its trace; at
        constant pressure); of the tail `drift`, `drift_error` (half-width of its 95 % interval) and
        `drift_judged` (what is left of its size less that; meV/atom/ps);
        `n_runs`, `n_unstable`, `unstable_share`, `simulated` (ps) and `curves` (`shown.curves`).
    """
    found: dict[str, Any] = {}
    for name, raw in raws.items():
        runs, shown, simulated = [], [], 0.0
        for part in parts(settings):
            trajectory = read_trajectory(raw, part)
            for k, where in enumerate(trajectory.where):
                run = trajectory.run(k)
                title = {"part": part, "structure": k, "where": where.rpartition("/")[2]}
                runs.append(title | verdict(run, settings))
                shown.append((part, k, run))
            simulated += trajectory.simulated
        unstable = sum(not run["stable"] for run in runs)
        found[name] = {
            "runs": runs,
            "n_runs": len(runs),
            "n_unstable": unstable,
            "unstable_share": unstable / len(runs),
            "simulated": simulated,
            "curves": curves(shown),
        }
    return {"potentials": found}


def verdict(run: Run, settings: MdSettings) -> dict[str, Any]:
    """What became of one run; see `analyse`."""
    n_atoms = len(run.numbers)
    found: dict[str, Any] = {
        "formula": run.atoms(0).get_chemical_formula(),
        "atoms": n_atoms,
        "simulated": float(run.time[-1]),
        "stable": True,
    }
    found |= dict.fromkeys(FIGURES)
    if np.isfinite(run.stress[0]):
        found["stress"] = float(run.stress[0])
    end = len(run) if run.stopped is None else len(run) - 1
    broken = first_broken(run, settings.bond_stretch)
    if broken is not None and broken.frame < end:
        text = f"it lost its bond {broken.name} ({broken.before:.2f} → {broken.after:.2f} Å)"
        at = broken.frame
        return found | _unstable(run, at, "bond", text)
    if run.stopped is not None:
        return found | _unstable(run, len(run) - 1, run.stopped.kind, run.stopped.reason)
    steady = np.flatnonzero(run.within("steady"))
    steady = steady[-max(1, round(SETTLED * len(steady))) :] if len(steady) else steady
    if len(steady):
        volume = float(run.volume[steady].mean())
        grams = run.atoms(0).get_masses().sum() / units.kg * 1e3
        found |= {
            "thermostat": float(run.thermostat[steady[-1]]),
            "temperature": float(run.temperature[steady].mean()),
            "temperature_spread": float(run.temperature[steady].std()),
            "volume": volume / n_atoms,
            "density": grams / (volume * 1e-24),
        }
    tail = run.within("nve")
    slope = drift(run.time[tail], 1e3 * run.total[tail] / n_atoms)
    if slope is not None:
        left = max(0.0, abs(slope[0]) - slope[1])
        found |= {"drift": slope[0], "drift_error": slope[1], "drift_judged": left}
    return found


def _unstable(run: Run, frame: int, kind: str, reason: str) -> dict[str, Any]:
    return {
        "stable": False,
        "kind": kind,
        "reason": reason,
        "leg": run.legs[int(run.leg[frame])],
        "time": float(run.time[frame]),
        "step": int(run.step[frame]),
        "thermostat": float(run.thermostat[frame]),
        "frame": frame,
    }


def flagged(raws: Mapping[str, RawFolder], metrics: Any) -> list[Flagged]:
    """The structures at the moment at which they became unstable."""
    found = []
    for name, content in metrics["potentials"].items():
        for run in content["runs"]:
            if run["stable"]:
                continue
            trajectory = read_trajectory(raws[name], run["part"])
            atoms = trajectory.run(run["structure"]).atoms(run["frame"])
            title = f"{run['part']}, structure {run['structure']} ({run['where']})"
            found.append(Flagged(name, title, story(run), atoms))
    return found


def extent(settings: MdSettings) -> str:
    """How much is calculated, in a few words."""
    many = f"{settings.structures} structure{'s' * (settings.structures != 1)}"
    told = []
    if settings.time:
        told.append(f"{settings.time:g} ps {settings.ensemble} at {settings.temperature:g} K")
    if settings.nve_time:
        told.append(f"{settings.nve_time:g} ps nve")
    if settings.ramp_time:
        ramp = f"{settings.ramp_from:g} → {settings.ramp_to:g} K over {settings.ramp_time:g} ps"
        told.append(f"ramp {ramp}")
    return f"{many}: {', '.join(told)}"


PROTOCOL: Protocol[Any] = Protocol(
    name="md",
    question="Does molecular dynamics stay stable?",
    settings=MdSettings,
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
        # A tail that could tell a drift from noise would take as long as all the rest.
        "nve_time": 0.0,
        "ramp_time": 0.15,
        "every": 0.005,
        "segment": 0.05,
    },
)
