"""Curves, charts and tables of the protocol `md`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pestle.protocols.dynamics.trajectory import Run, some_frames
from pestle.protocols.md.findings import listed_moves
from pestle.protocols.md.numbers import Curve, CurveKind, MdNumbers
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.records.results import Measured
from pestle.settings.probe import MdSettings
from pestle.wording import figure

#: Largest number of points of a curve.
POINTS = 300
#: Up to this number of structures, each has its own curve. Otherwise only mean and standard
#: deviation are drawn.
SINGLE = 3


def curves(runs: Sequence[tuple[str, int, Run]]) -> dict[CurveKind, list[Curve]]:
    """Return the curves of one potential against time, for the charts.

    Args:
        runs: part, number of the structure, and trajectory of each run.

    Returns:
        Kind → lines: `temperature` (K) and `volume` (Å³/atom) of the steady part, `ramp`
        (temperature, K), `energy` (total energy in the tail minus its first value, meV/atom).
    """
    found: dict[CurveKind, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for part, k, run in runs:
        n_atoms, tail = len(run.numbers), run.within("nve")
        if part == "ramp":
            found.setdefault("ramp", []).append((k, run.time, run.temperature))
            continue
        found.setdefault("temperature", []).append((k, run.time, run.temperature))
        if np.isfinite(run.volume).all():
            found.setdefault("volume", []).append((k, run.time, run.volume / n_atoms))
        if tail.any():
            energy = 1e3 * run.total[tail] / n_atoms
            found.setdefault("energy", []).append((k, run.time[tail], energy - energy[0]))
    return {name: _lines(lines) for name, lines in found.items()}


def _lines(lines: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> list[Curve]:
    """Return a line for each structure or, for many structures, one line with mean and spread."""
    if len(lines) <= SINGLE:
        found = []
        for k, time, value in lines:
            kept = some_frames(len(time), POINTS)
            found.append(
                Curve(
                    structure=k,
                    time=time[kept].tolist(),
                    value=value[kept].tolist(),
                    error=None,
                )
            )
        return found
    # The frames of all structures have the same times, until a structure is stopped.
    times = np.unique(np.concatenate([time for _, time, _ in lines]))
    times = times[some_frames(len(times), POINTS)]
    values = [[v for _, t, value in lines for v in value[t == time]] for time in times]
    return [
        Curve(
            structure=None,
            time=times.tolist(),
            value=[float(np.mean(v)) for v in values],
            error=[float(np.std(v)) for v in values],
        )
    ]


def charts(measured: Measured[MdNumbers]) -> list[Chart]:
    """Draw temperature, volume, energy of the tail, and temperature of the ramp."""
    settings = MdSettings.model_validate(measured.about.settings)
    Thermostat = tuple[list[float], list[float | None]]
    steady: Thermostat = [0.0, settings.time], [settings.temperature] * 2
    ramp: Thermostat = [0.0, settings.ramp_time], [settings.ramp_from, settings.ramp_to]
    kinds: tuple[tuple[CurveKind, str, str, Thermostat | None], ...] = (
        ("temperature", "Temperature, steady part", "temperature (K)", steady),
        ("ramp", "Temperature, ramp", "temperature (K)", ramp),
        ("energy", "Total energy without thermostat", "energy (meV/atom)", None),
        ("volume", "Volume, steady part", "volume (Å³/atom)", None),
    )
    found = []
    for kind, title, label, thermostat in kinds:
        series = [
            Series(name, line.time, line.value, line.error)
            for name, potential in measured.numbers.potentials.items()
            for line in potential.curves.get(kind, [])
        ]
        if not series:
            continue
        caption = "One line for each structure."
        if any(s.error is not None for s in series):
            caption = "Mean and spread over the structures that had not stopped."
        if thermostat is not None and thermostat[0][1] > 0:
            series.append(Series("reference", *thermostat, dashed=True))
            caption += " Dashed line: the thermostat."
        found.append(Chart(title, "time (ps)", label, series, caption=caption))
    return found


def tables(measured: Measured[MdNumbers]) -> list[Table]:
    """Make a table with a row for each potential, structure and part."""
    columns = [
        Column("model"),
        Column("structure"),
        Column("part"),
        Column("stable"),
        Column("time", "ps", 4),
        Column("temperature", "K", 4),
        Column("spread", "K", 3),
        Column("volume", "Å³/atom", 4),
        Column("density", "g/cm³", 4),
        Column("drift", "meV/atom/ps", 3),
        Column("±", "meV/atom/ps", 2),
        Column("what happened"),
    ]
    rows = []
    for name, potential in measured.numbers.potentials.items():
        for run in potential.runs:
            told = [listed_moves(run)] if run.transfers else []
            if not run.stable:
                told.append(f"{run.leg}, {figure(run.time, 4)} ps, step {run.step}: {run.reason}")
            what = "; ".join(told)
            where = f"{run.structure} ({run.where}), {run.formula}"
            title = [name, where, run.part, "yes" if run.stable else "no", run.simulated]
            means = [run.temperature, run.temperature_spread, run.volume, run.density]
            rows.append([*title, *means, run.drift, run.drift_error, what])
    note = (
        "Means over the second half of the steady part; drift ± half of its 95 % interval. Atoms "
        "are counted from 0. Simulated in total: "
        + ", ".join(
            f"{figure(potential.simulated, 4)} ps with {name}"
            for name, potential in measured.numbers.potentials.items()
        )
        + "."
    )
    return [Table("Molecular dynamics", columns, rows, note)]
