"""Results of molecular dynamics, as stored in metrics.json."""

from __future__ import annotations

from typing import Literal

from pestle.records.results import Numbers

#: Quantities that are drawn against time.
CurveKind = Literal["temperature", "volume", "energy", "ramp"]


class Curve(Numbers):
    """One line of a chart.

    Attributes:
        structure: number of the structure; `None` if the line is the mean over several structures.
        time: [n_points] ps.
        value: [n_points] K, Å³/atom or meV/atom, depending on the kind of curve.
        error: [n_points] standard deviation over the structures; `None` for a single structure.
    """

    structure: int | None
    time: list[float]
    value: list[float | None]
    error: list[float | None] | None


class RunNumbers(Numbers):
    """One run: one structure, either at a steady temperature or along the ramp.

    Attributes:
        part: `steady` or `ramp`.
        structure: number of the structure, from 0.
        where: file and frame of the structure.
        formula: chemical formula.
        atoms: number of atoms.
        simulated: simulated time, ps.
        stable: whether the run reached its end without a fault.
        kind: kind of the fault: `bond`, `overlap`, `temperature`, `volume`, `runaway` or
            `not finite`. This and the next five are `None` for a stable run.
        reason: the fault in words.
        leg: leg of the run in which the fault occurred: `steady`, `nve` or `ramp`.
        time: time of the fault, ps.
        step: step of the fault, from 0.
        frame: number of the frame in the trajectory that shows the fault.
        thermostat: temperature of the thermostat at the fault, K; for a stable run at the end of
            the steady leg.
        temperature: mean over the second half of the steady leg, K. This and the next three are
            `None` for an unstable run and for the ramp.
        temperature_spread: standard deviation of the temperature there, K.
        volume: mean volume there, Å³/atom; `None` also if the structure has no volume.
        density: mean density there, g/cm³.
        stress: a third of the trace of the stress at the start, GPa (negative: the cell tends to
            expand); `None` at constant volume.
        drift: slope of the total energy without thermostat, meV/atom/ps. This and the next two are
            `None` for an unstable run, and if the tail has fewer than 5 frames.
        drift_error: half the width of its 95 % interval, meV/atom/ps.
        drift_judged: absolute value of the drift minus `drift_error`, at least 0, meV/atom/ps.
        transfers: protons that moved, in the order of time: `H11 moved from O5 to O3`. They count
            as no fault. Results of earlier versions have none.
    """

    part: str
    structure: int
    where: str
    formula: str
    atoms: int
    simulated: float
    stable: bool
    kind: str | None = None
    reason: str | None = None
    leg: str | None = None
    time: float | None = None
    step: int | None = None
    frame: int | None = None
    thermostat: float | None = None
    temperature: float | None = None
    temperature_spread: float | None = None
    volume: float | None = None
    density: float | None = None
    stress: float | None = None
    drift: float | None = None
    drift_error: float | None = None
    drift_judged: float | None = None
    transfers: tuple[str, ...] = ()


class PotentialNumbers(Numbers):
    """All runs with one potential.

    Attributes:
        runs: the runs at constant temperature, then the ramps.
        n_runs, n_unstable: number of all runs and of unstable runs.
        unstable_share: fraction of unstable runs.
        simulated: simulated time of all runs together, ps.
        curves: curves of the charts; kinds without data are left out.
    """

    runs: list[RunNumbers]
    n_runs: int
    n_unstable: int
    unstable_share: float
    simulated: float
    curves: dict[CurveKind, list[Curve]]


class MdNumbers(Numbers):
    """Results of all runs of all potentials.

    Attributes:
        potentials: name → its runs.
    """

    potentials: dict[str, PotentialNumbers]
