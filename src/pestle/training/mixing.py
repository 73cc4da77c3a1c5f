"""What joins each update: target frames, replay structures, or both.

Two ways to mix. `ByRatio` adds so many replay structures to every batch of target frames (the
paper's Eq. 3 read update by update). `BySize` is mace-torch's: target frames and replay structures
are shuffled together and cut into batches, so that each weighs what its number is.

A position says all of where a mixture stands: a resumed run that starts at it meets the same
frames.
"""

from __future__ import annotations

import bisect
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch

from pestle.settings.run import RunSettings
from pestle.structures.graphs import GraphBatch, collate
from pestle.training.batches import BatchPlan
from pestle.training.objective import TrainingData
from pestle.training.replay import ReplayStream

#: Share of the replay structures that target frames are repeated to reach (mace-torch 0.3.16,
#: --real_pt_data_ratio_threshold).
MACE_SHARE = 0.1
#: Draws that the means of a mixture are taken from.
SAMPLED = 200


@dataclass(frozen=True)
class Position:
    """Where a mixture stands.

    Attributes:
        lap, place: batches are drawn lap by lap; those of the lap that is under way.
        replayed: place in the replay stream.
        update: updates so far.
    """

    lap: int = 0
    place: int = 0
    replayed: int = 0
    update: int = 0


@dataclass(frozen=True)
class Draw:
    """The graphs of an update; at least one of the two is there.

    Attributes:
        target: target frames.
        replay: replay structures.
        joint: whether the loss is the mean over all of them; else it is the sum of the means.
    """

    target: GraphBatch | None
    replay: GraphBatch | None = None
    joint: bool = False

    @property
    def n_edges(self) -> int:
        """Edges of all of them."""
        return sum(graphs.n_edges for graphs in (self.target, self.replay) if graphs is not None)


@dataclass(frozen=True)
class Passes:
    """What a number of updates comes to.

    Attributes:
        target: passes over the target frames.
        replay: passes over the replay structures; below one, the share of them that is seen.
        n_replay: replay structures; 0 without.
    """

    target: float
    replay: float
    n_replay: int

    def line(self) -> str:
        """In words."""
        digits = 1 if self.target < 10 else 0
        text = f"{self.target:,.{digits}f} passes over the target frames"
        if not self.n_replay:
            return text
        if self.replay < 1:
            return f"{text}, {self.replay:.0%} of {self.n_replay:,} replay structures seen once"
        return f"{text}, {self.replay:,.1f} over {self.n_replay:,} replay structures"


class Mixture(ABC):
    """Draws the updates of a run.

    Attributes:
        laps: batches of a lap.
        updates_per_epoch: updates in an epoch, as `train.epoch_covers` defines it.
        every: replay joins every so-many-th update.
    """

    laps: BatchPlan
    updates_per_epoch: int
    every: int = 1
    _lap: tuple[int, list[list[int]]] = (-1, [])

    @abstractmethod
    def draw(self, position: Position) -> tuple[Draw, Position]:
        """The update that follows a position, and the position after it."""

    @abstractmethod
    def passes(self, updates: int) -> Passes:
        """What so many updates come to."""

    def _members(self, position: Position) -> tuple[list[int], Position]:
        """Members of the next batch of the laps, and the position after it."""
        if self._lap[0] != position.lap:
            self._lap = (position.lap, self.laps.indices(position.lap + 1))
        batches = self._lap[1]
        after = replace(position, place=position.place + 1, update=position.update + 1)
        if after.place == len(batches):
            after = replace(after, lap=position.lap + 1, place=0)
        return batches[position.place], after


class ByRatio(Mixture):
    """So many replay structures for each target frame, in every update or every k-th.

    Args:
        settings: complete settings of the run.
        data: its graphs.
    """

    def __init__(self, settings: RunSettings, data: TrainingData) -> None:
        train, wanted = settings.train, settings.replay
        self.laps = BatchPlan(data.train_graphs, train.batch_size, train.max_edges, train.seed)
        self.updates_per_epoch = self.laps.steps()
        self.replay: ReplayStream | None = None
        if data.replay is None:
            return
        assert not isinstance(wanted.ratio, str) and wanted.target_share is not None
        self.every, self.target_share = wanted.every, wanted.target_share
        self.replay = ReplayStream(
            data.replay.train_graphs,
            wanted.ratio,
            train.max_edges,
            train.seed,
            edge_ratio=None if wanted.edge_ratio == "unbounded" else wanted.edge_ratio,
        )
        if train.epoch_covers == "all":
            drawn = self._replayed_per_update()
            over_replay = math.ceil(len(self.replay.graphs) / drawn)
            self.updates_per_epoch = max(self.updates_per_epoch, over_replay)

    def draw(self, position: Position) -> tuple[Draw, Position]:
        members, after = self._members(position)
        target = collate([self.laps.graphs[k] for k in members])
        if self.replay is None or position.update % self.every:
            return Draw(target), after
        chosen, replayed = self.replay.draw(position.replayed, target.n_graphs, target.n_edges)
        graphs = [
            self._through_target(graph, position.replayed + place)
            for place, graph in enumerate(chosen)
        ]
        return Draw(target, collate(graphs)), replace(after, replayed=replayed)

    def _through_target(self, graph: GraphBatch, place: int) -> GraphBatch:
        """A replay structure, as it is or for the target head.

        The target head has other E0s: it is held to the forces and the stress alone.
        """
        turn = math.floor((place + 1) * self.target_share) > math.floor(place * self.target_share)
        if not turn:
            return graph
        moved = graph.with_head(int(self.laps.graphs[0].head[0]))
        return replace(moved, energy_weight=torch.zeros_like(moved.energy_weight))

    def passes(self, updates: int) -> Passes:
        target = updates / self.laps.steps()
        if self.replay is None:
            return Passes(target, 0.0, 0)
        n = len(self.replay.graphs)
        return Passes(target, updates * self._replayed_per_update() / n, n)

    def _replayed_per_update(self) -> float:
        """Replay structures of an update on average, counted on the first that they join."""
        assert self.replay is not None
        position = Position()
        for _ in range(SAMPLED):
            members, after = self._members(position)
            edges = sum(self.laps.graphs[k].n_edges for k in members)
            _, replayed = self.replay.draw(position.replayed, len(members), edges)
            position = replace(after, replayed=replayed)
        return position.replayed / SAMPLED / self.every


class Joined(Sequence[GraphBatch]):
    """Several sequences of graphs as one, without a copy."""

    def __init__(self, parts: Sequence[Sequence[GraphBatch]]) -> None:
        self.parts = parts
        self.ends = list(itertools.accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1]

    @overload
    def __getitem__(self, index: int) -> GraphBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[GraphBatch]: ...
    def __getitem__(self, index: int | slice) -> GraphBatch | list[GraphBatch]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        place = range(len(self))[index]
        part = bisect.bisect_right(self.ends, place)
        return self.parts[part][place - (self.ends[part - 1] if part else 0)]


def target_repeats(n_target: int, n_replay: int) -> int:
    """How often mace-torch repeats every target frame beside so many replay structures."""
    share = n_target / n_replay
    return 1 + int(MACE_SHARE / share) if share < MACE_SHARE else 1


class BySize(Mixture):
    """Batches from all frames together, as mace-torch's training makes them.

    Args:
        settings: complete settings of the run.
        data: its graphs; must hold replay structures.
    """

    def __init__(self, settings: RunSettings, data: TrainingData) -> None:
        assert data.replay is not None
        train = settings.train
        self.n_replay, self.n_target = len(data.replay.train_graphs), len(data.train_graphs)
        #: How often every target frame stands in a lap.
        self.repeats = target_repeats(self.n_target, self.n_replay)
        self.targets = self.repeats * self.n_target
        graphs = Joined([data.train_graphs] * self.repeats + [data.replay.train_graphs])
        self.laps = BatchPlan(graphs, train.batch_size, train.max_edges, train.seed)
        # A lap passes over everything: it is the epoch, whatever else an epoch may cover.
        self.updates_per_epoch = self.laps.steps()

    def draw(self, position: Position) -> tuple[Draw, Position]:
        members, after = self._members(position)
        target = [self.laps.graphs[k] for k in members if k < self.targets]
        replay = [self.laps.graphs[k] for k in members if k >= self.targets]
        after = replace(after, replayed=position.replayed + len(replay))
        return Draw(
            collate(target) if target else None, collate(replay) if replay else None, True
        ), after

    def passes(self, updates: int) -> Passes:
        laps = updates / self.laps.steps()
        return Passes(laps * self.repeats, laps, self.n_replay)


def make_mixture(settings: RunSettings, data: TrainingData) -> Mixture:
    """The mixture of the settings."""
    if data.replay is not None and settings.replay.ratio == "size":
        return BySize(settings, data)
    return ByRatio(settings, data)
