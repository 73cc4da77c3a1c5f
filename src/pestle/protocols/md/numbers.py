"""The numbers of molecular dynamics, as metrics.json holds them."""

from __future__ import annotations

from typing import Literal

from pestle.records.results import Numbers

#: What is drawn against the time.
CurveKind = Literal["temperature", "volume", "energy", "ramp"]


class Curve(Numbers):
    """One line of a chart.

    Attributes:
        structure: its number; `None` where the line is the mean over several structures.
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
        structure: its number, from 0.
        where: file and frame that it came from.
        formula: of the structure.
        atoms: their number.
        simulated: ps until the end of the run, or until it was stopped.
        stable: whether the run came to its end without a fault.
        kind: what went wrong: `bond`, `overlap`, `temperature`, `volume`, `runaway` or
            `not finite`; `None` for a stable run, as the next five.
        reason: what went wrong, in words.
        leg: stretch of the run in which it went wrong: `steady`, `nve` or `ramp`.
        time: of that, ps.
        step: of that, from 0.
        frame: number of the frame in the trajectory that shows it.
        thermostat: temperature that was set, K; of a stable run at the end of its steady leg.
        temperature: mean over the second half of the steady leg, K; as the next three, `None`
            for an unstable run and for the ramp.
        temperature_spread: standard deviation there, K.
        volume: mean there, Å³/atom; `None` also where the structure has no volume.
        density: mean there, g/cm³.
        stress: at the start, GPa, a third of the trace (negative: the cell wants to swell);
            `None` at constant volume.
        drift: slope of the total energy without thermostat, meV/atom/ps; as the next two, `None`
            for an unstable run and where the tail has fewer than 5 frames.
        drift_error: half the width of its 95 % interval, meV/atom/ps.
        drift_judged: size of the drift less `drift_error`, at least 0, meV/atom/ps.
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


class PotentialNumbers(Numbers):
    """All runs with one potential.

    Attributes:
        runs: those at a steady temperature first, then the ramps.
        n_runs, n_unstable: their numbers.
        unstable_share: unstable runs over all runs.
        simulated: of all runs together, ps.
        curves: of the charts; a kind of which there is nothing to draw is left out.
    """

    runs: list[RunNumbers]
    n_runs: int
    n_unstable: int
    unstable_share: float
    simulated: float
    curves: dict[CurveKind, list[Curve]]


class MdNumbers(Numbers):
    """What became of every run of every potential.

    Attributes:
        potentials: name → its runs.
    """

    potentials: dict[str, PotentialNumbers]
