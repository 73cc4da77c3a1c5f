"""The segments of a molecular dynamics run: how they are made, written and continued.

Each segment reads its initial state from the file that the previous segment wrote, also within one
process. Stopped and uninterrupted runs therefore follow the same path.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.progress import Task
from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork, Leg, Stop
from pestle.protocols.dynamics.limits import Limits
from pestle.protocols.dynamics.mover import Lost, Mover
from pestle.protocols.dynamics.stored import GroupState, SegmentFrames
from pestle.protocols.dynamics.trajectory import Recorder
from pestle.protocols.raw import RawFolder
from pestle.wording import figure

#: A function that makes the engine of a segment.
Make = Callable[[list[Body], Leg, Clockwork], Mover]

#: Steps between two searches for overlapping atoms.
OVERLAP_EVERY = 10
#: Seconds between two updates of the progress bar.
SHOWN_EVERY = 0.5


@dataclass(frozen=True)
class Plan:
    """The course that all structures of a run follow.

    Attributes:
        name: name of the run.
        legs: the legs, none of zero length.
        clock: time step, coupling constants and intervals.
        limits: a structure beyond these limits is stopped.
        seed: seed of momenta and noise.
    """

    name: str
    legs: Sequence[Leg]
    clock: Clockwork
    limits: Limits
    seed: int

    def steps(self, length: float) -> int:
        """Return the number of time steps in a time; at least one.

        Args:
            length: time, ps.
        """
        return max(1, round(1e3 * length / self.clock.timestep))

    @property
    def total(self) -> int:
        """Number of time steps of one structure."""
        return sum(self.steps(leg.time) for leg in self.legs)

    def segments(self) -> Iterator[Segment]:
        """Yield the segments in order; no segment crosses the end of a leg."""
        size, number, before = self.steps(self.clock.segment), 0, 0
        for k, leg in enumerate(self.legs):
            steps = self.steps(leg.time)
            for first in range(0, steps, size):
                yield Segment(number, k, first, min(steps, first + size), before)
                number += 1
            before += steps

    def noise(self, index: int, number: int) -> np.random.Generator:
        """Return the random generator of one structure in one segment.

        Args:
            index: position among the starting structures.
            number: 0 for the initial momenta, k + 1 for segment k.
        """
        key = (zlib.crc32(self.name.encode()), index, number)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Segment:
    """Steps `first` + 1 … `last` of leg number `leg`; the run makes `before` steps before this
    leg.
    """

    number: int
    leg: int
    first: int
    last: int
    before: int


class Group:
    """Structures that one engine moves together.

    Args:
        name: prefix of the written files.
        bodies: the structures at their starts.
        make: makes the engine of a segment.
        plan: the course of the run.
        raw: folder for the results.
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
        """Make all segments that do not exist yet."""
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
            frames = SegmentFrames(self.meter.moved - before, recorder.frames())
            self.raw.write(self._segment(segment.number), frames)
            states = {body.index: body.state() for body in self.bodies}
            self.raw.write(f"{self.name}-state", GroupState(segment.number + 1, states))
            self.raw.spent(time.perf_counter() - started)

    def _segment(self, number: int) -> str:
        """Return the file name of a segment."""
        return f"{self.name}-{number:05d}"

    def _make(self, segment: Segment, bodies: list[Body], recorder: Recorder) -> None:
        """Make the steps of one segment; a lost body stops at its last valid state."""
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

    def _restore(self) -> int:
        """Restore the bodies from the last stored segment.

        If one of the segment files is lost, all segments are made again.

        Returns:
            The number of segments that exist.
        """
        if not self.raw.has(f"{self.name}-state"):
            return 0
        state = self.raw.read(f"{self.name}-state", GroupState)
        if not all(self.raw.has(self._segment(number)) for number in range(state.done)):
            return 0
        for body in self.bodies:
            body.restore(state.bodies[body.index])
        return state.done


class Meter:
    """The progress bar: it counts the steps of all structures and shows the speed.

    Args:
        bar: counts steps.
        timestep: time step, fs.
    """

    def __init__(self, bar: Task, timestep: float) -> None:
        self.bar, self.timestep = bar, timestep
        self.steps = self.moved = 0
        self.started = self.shown = time.monotonic()

    def skip(self, steps: int) -> None:
        """Count steps that already exist."""
        self.steps += steps
        if steps:
            self._show(time.monotonic())

    def made(self, moved: int, idle: int) -> None:
        """Count one step.

        Args:
            moved: number of structures that moved.
            idle: number of structures of the segment that were lost before.
        """
        self.steps, self.moved = self.steps + moved + idle, self.moved + moved
        now = time.monotonic()
        if now - self.shown >= SHOWN_EVERY or self.steps == self.bar.total:
            self._show(now)

    def _show(self, now: float) -> None:
        self.shown = now
        hours = max(1e-9, now - self.started) / 3600
        ps, rate = (n * self.timestep / 1e3 for n in (self.steps, self.moved / hours))
        self.bar.to(self.steps, f"{figure(ps)} ps, {figure(rate)} ps of dynamics per hour")
