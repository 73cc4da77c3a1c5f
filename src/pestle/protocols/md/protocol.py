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
from pestle.probe_settings import MdSettings
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.dynamics.runs import (
    Clockwork,
    Leg,
    Limits,
    default_timestep,
    movable,
    read_trajectory,
    run_dynamics,
)
from pestle.protocols.dynamics.trajectory import Run
from pestle.protocols.md.checks import drift, first_broken
from pestle.protocols.md.shown import charts, curves, tables
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Finding, Flagged
from pestle.protocols.thresholds import Threshold
from pestle.structures.frame import Frame, split_isolated_atoms

#: Share of the steady leg, at its end, whose mean temperature and volume are given.
SETTLED = 0.5
#: What is not known of every run.
FIGURES = (
    *("kind", "reason", "leg", "time", "step", "frame", "thermostat", "temperature"),
    *("temperature_spread", "volume", "density", "drift", "drift_error"),
)
#: Unstable runs that a sentence describes.
NAMED = 2


def starting_structures(inputs: Inputs, count: int) -> list[Frame]:
    """Structures evenly taken from all sets; single atoms do not count.

    Raises:
        PestleError: there is none.
    """
    frames = [frame for frame in split_isolated_atoms(inputs.frames)[0] if movable(frame)]
    if not frames:
        atoms = " but single atoms" if inputs.frames else ""
        raise PestleError(
            f"there is no structure{atoms} to start from", where="md", fix="Give --data FILES."
        )
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return [frames[k] for k in chosen]


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


def check(inputs: Inputs, settings: MdSettings, _potentials: Sequence[Potential]) -> None:
    """Raises a PestleError where there is nothing to run."""
    starting_structures(inputs, settings.structures)
    if not parts(settings):
        raise PestleError(
            "all its parts have no length", where="md", fix="Set md.time or md.ramp_time."
        )


def calculate(potential: Potential, inputs: Inputs, settings: MdSettings, raw: RawFolder) -> None:
    """Trajectories of all structures."""
    starts = starting_structures(inputs, settings.structures)
    clock = Clockwork(
        timestep=settings.timestep or default_timestep(starts),
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
            starts,
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
        `volume` (Å³/atom), `density` (g/cm³); `drift` and `drift_error` of the tail (meV/atom/ps);
        `n_runs`, `n_unstable`, `unstable_share`, `worst_drift`, `worst_drift_error`,
        `simulated` (ps), `ps_per_hour`, and `curves` (`shown.curves`).
    """
    found: dict[str, Any] = {}
    for name, raw in raws.items():
        runs, shown, simulated, seconds = [], [], 0.0, 0.0
        for part in parts(settings):
            trajectory = read_trajectory(raw, part)
            for k, where in enumerate(trajectory.where):
                run = trajectory.run(k)
                title = {"part": part, "structure": k, "where": where.rpartition("/")[2]}
                runs.append(title | verdict(run, settings))
                shown.append((part, k, run))
            ps, spent = trajectory.cost
            simulated, seconds = simulated + ps, seconds + spent
        unstable = sum(not run["stable"] for run in runs)
        drifts = [run for run in runs if run["drift"] is not None]
        worst: dict[str, Any] = max(drifts, key=lambda run: abs(run["drift"]), default={})
        found[name] = {
            "runs": runs,
            "n_runs": len(runs),
            "n_unstable": unstable,
            "unstable_share": unstable / len(runs),
            "worst_drift": worst.get("drift"),
            "worst_drift_error": worst.get("drift_error"),
            "simulated": simulated,
            "ps_per_hour": 3600.0 * simulated / seconds if seconds else None,
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
        found |= {"drift": slope[0], "drift_error": slope[1]}
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


def story(run: Mapping[str, Any]) -> str:
    """What happened to an unstable run, in one clause."""
    parts = {"steady": "the steady part", "nve": "the tail at constant energy", "ramp": "the ramp"}
    kelvin = "" if run["leg"] == "nve" else f" at {run['thermostat']:.0f} K"
    what = run["reason"].removeprefix("it ")
    return (
        f"structure {run['structure']} ({run['where']}): {what} at {run['time']:.4g} ps "
        f"(step {run['step']}) in {parts[run['leg']]}{kelvin}"
    )


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """The share of unstable runs, and the drift of the energy in stable ones."""
    found = metrics["potentials"][metrics["candidate"]]
    findings = [_stability(found, metrics, thresholds["unstable_share"])]
    if found["worst_drift"] is not None:
        findings.append(_drift(found, thresholds["drift_mev_per_atom_per_ps"]))
    return sorted(findings, key=lambda f: ("fail", "concern", "pass").index(f.level))


def _stability(found: Mapping[str, Any], metrics: Mapping[str, Any], limit: Threshold) -> Finding:
    level, count = limit.level(found["unstable_share"]), found["n_runs"]
    base = metrics["potentials"].get(metrics["baseline"])
    beside = f" (the foundation: {base['n_unstable']} of {base['n_runs']})" if base else ""
    bad = [run for run in found["runs"] if not run["stable"]]
    if not bad:
        ps = found["simulated"]
        text = f"All {count} runs stayed stable over {ps:.4g} ps together{beside}."
    else:
        told = "; ".join(story(run) for run in bad[:NAMED])
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        text = (
            f"{len(bad)} of {count} runs became unstable{beside}: {told}{more}. Not for dynamics "
            "under these conditions: check the reference energies first (pestle e0; averaged ones "
            "broke every run of Table 1), then train on structures near the failure or with replay."
        )
    return Finding(
        "md", level, "unstable runs", found["unstable_share"], limit.unit, limit.words, text
    )


def _drift(found: Mapping[str, Any], limit: Threshold) -> Finding:
    value, error = found["worst_drift"], found["worst_drift_error"]
    # What may be the scatter of a short tail is no drift.
    level = limit.level(max(0.0, abs(value) - 2.0 * error))
    text = f"Without thermostat the total energy drifts by {value:.3g} ± {error:.2g} meV/atom/ps"
    text += " at worst."
    if level != "pass":
        text += (
            " Use a shorter time step (md.timestep) or float64; if it stays, the forces are not "
            "the gradient of a smooth energy."
        )
    return Finding("md", level, "energy drift", abs(value), limit.unit, limit.words, text)


def flagged(raws: Mapping[str, RawFolder], metrics: Mapping[str, Any]) -> list[Flagged]:
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


PROTOCOL = Protocol(
    name="md",
    question="Does molecular dynamics stay stable?",
    settings=MdSettings,
    structures=lambda inputs, _: split_isolated_atoms(inputs.frames)[0],
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
    quick={
        "structures": 2,
        "time": 0.15,
        "nve_time": 0.1,
        "ramp_time": 0.15,
        "every": 0.005,
        "segment": 0.05,
    },
)
