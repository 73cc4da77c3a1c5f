"""The segments of a run of molecular dynamics: what is made, written and gone on from.

State passes from one segment to the next through what is written only, also within one process: a
run that was stopped and one that was not take the same way.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pestle.progress import Task
from pestle.protocols.dynamics.body import Body, Clockwork, Leg, Limits, Lost, Mover, Stop
from pestle.protocols.dynamics.trajectory import Recorder
from pestle.protocols.raw import RawFolder

#: Makes the engine of a segment.
Make = Callable[[list[Body], Leg, Clockwork], Mover]

#: Steps between two looks for overlapping atoms.
OVERLAP_EVERY = 10
#: Seconds between two updates of the progress bar.
SHOWN_EVERY = 0.5


@dataclass(frozen=True)
class Plan:
    """What all structures of a run go through.

    Attributes:
        name: of the run.
        legs: each of some length.
        clock: time step and the like.
        limits: beyond which a structure is stopped.
        seed: of momenta and noise.
    """

    name: str
    legs: Sequence[Leg]
    clock: Clockwork
    limits: Limits
    seed: int

    def steps(self, length: float) -> int:
        """Steps of so many ps; one at least."""
        return max(1, round(1e3 * length / self.clock.timestep))

    @property
    def total(self) -> int:
        """Steps of a structure."""
        return sum(self.steps(leg.time) for leg in self.legs)

    def segments(self) -> Iterator[Segment]:
        """One after the other; none reaches over the end of a leg."""
        size, number, before = self.steps(self.clock.segment), 0, 0
        for k, leg in enumerate(self.legs):
            steps = self.steps(leg.time)
            for first in range(0, steps, size):
                yield Segment(number, k, first, min(steps, first + size), before)
                number += 1
            before += steps

    def noise(self, index: int, number: int) -> np.random.Generator:
        """Noise of one structure in segment `number` - 1 (0: its first momenta)."""
        key = (zlib.crc32(self.name.encode()), index, number)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Segment:
    """Steps `first` + 1 … `last` of leg number `leg`, which `before` steps precede."""

    number: int
    leg: int
    first: int
    last: int
    before: int


class Group:
    """Structures that an engine moves together.

    Args:
        name: of what is written.
        bodies: at their starts.
        make: the engine.
        plan: what they go through.
        raw: takes what is written.
        meter: the progress bar.
    """

    def __init__(
        self,
        name: str,
        bodies: list[Body],
        make: Make,
        plan: Plan,
        raw: RawFolder,
        meter: Meter,
    ) -> None:
        self.name, self.bodies, self.make, self.plan = name, bodies, make, plan
        self.raw, self.meter = raw, meter

    def run(self) -> None:
        """All segments that are not there yet."""
        done = self._restore()
        if done == 0:
            for body in self.bodies:
                noise = self.plan.noise(body.index, 0)
                body.draw_momenta(self.plan.legs[0].temperature, noise)
        for segment in self.plan.segments():
            alive = [body for body in self.bodies if body.stopped is None]
            steps = segment.last - segment.first
            if segment.number < done or not alive:
                self.meter.skip(steps * len(self.bodies))
                continue
            for body in alive:
                body.rng = self.plan.noise(body.index, segment.number + 1)
            started, before = time.perf_counter(), self.meter.moved
            recorder = Recorder(alive)
            self._make(segment, alive, recorder)
            self.meter.skip(steps * (len(self.bodies) - len(alive)))
            self.raw.write(
                self._segment(segment.number),
                steps=self.meter.moved - before,
                **recorder.arrays(),
            )
            self.raw.write(f"{self.name}-state", **self._state(segment.number + 1))
            self.raw.spent(time.perf_counter() - started)

    def _segment(self, number: int) -> str:
        """Name of what a segment leaves."""
        return f"{self.name}-{number:05d}"

    def _make(self, segment: Segment, bodies: list[Body], recorder: Recorder) -> None:
        """The steps of one segment; bodies that are lost are stopped where they were."""
        plan, moving, number = self.plan, list(bodies), segment.leg
        leg = plan.legs[number]
        steps = plan.steps(leg.time)
        every = min(plan.steps(plan.clock.every), steps)

        def stop(lost: Sequence[Lost], step: int, kelvin: float) -> None:
            at = segment.before + step
            for body, kind, reason in lost:
                when = at * plan.clock.timestep / 1e3
                body.stopped = Stop(at, when, leg.name, kind, reason, kelvin)
                recorder.take(body, number, at, kelvin)
                recorder.stop(body)
                moving.remove(body)

        mover = self.make(moving, leg, plan.clock)
        kelvin = leg.at(segment.first / steps)
        stop(mover.lost(), segment.first, kelvin)
        if segment.number == 0:
            stop(plan.limits.beyond(moving, kelvin, plan.clock, overlap=True), 0, kelvin)
            for body in moving:
                recorder.take(body, number, 0, kelvin)
        for step in range(segment.first + 1, segment.last + 1):
            if not moving:
                self.meter.skip((segment.last - step + 1) * len(bodies))
                return
            kelvin = leg.at(step / steps)
            mover.step(moving, kelvin)
            stop(mover.lost(), step, kelvin)
            look = step % OVERLAP_EVERY == 0
            stop(plan.limits.beyond(moving, kelvin, plan.clock, overlap=look), step, kelvin)
            if step % every == 0:
                for body in moving:
                    recorder.take(body, number, segment.before + step, kelvin)
            self.meter.made(len(moving), len(bodies) - len(moving))

    def _state(self, done: int) -> dict[str, Any]:
        """What the next segment starts from."""
        arrays: dict[str, Any] = {"done": done}
        for body in self.bodies:
            arrays |= {f"{key}_{body.index}": value for key, value in body.state().items()}
        return arrays

    def _restore(self) -> int:
        """Put the bodies where the last segment left them; returns how many there are. Where one of
        them is lost, all are made again."""
        if not self.raw.has(f"{self.name}-state"):
            return 0
        arrays = self.raw.read(f"{self.name}-state")
        done = int(arrays["done"])
        if not all(self.raw.has(self._segment(number)) for number in range(done)):
            return 0
        for body in self.bodies:
            body.restore({key: arrays[f"{key}_{body.index}"] for key in body.state()})
        return done


class Meter:
    """The progress bar: steps of all structures, and how fast they are.

    Args:
        bar: counts steps.
        timestep: fs.
    """

    def __init__(self, bar: Task, timestep: float) -> None:
        self.bar, self.timestep = bar, timestep
        self.steps = self.moved = 0
        self.started = self.shown = time.monotonic()

    def skip(self, steps: int) -> None:
        """Steps that need not be made."""
        self.steps += steps
        if steps:
            self._show(time.monotonic())

    def made(self, moved: int, idle: int) -> None:
        """One step of so many structures; the others of the segment were lost before."""
        self.steps, self.moved = self.steps + moved + idle, self.moved + moved
        now = time.monotonic()
        if now - self.shown >= SHOWN_EVERY or self.steps == self.bar.total:
            self._show(now)

    def _show(self, now: float) -> None:
        self.shown = now
        hours = max(1e-9, now - self.started) / 3600
        ps, rate = (n * self.timestep / 1e3 for n in (self.steps, self.moved / hours))
        self.bar.to(self.steps, f"{ps:.3g} ps, {rate:.3g} ps/h")
