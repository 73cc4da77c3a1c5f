"""Selection of the graphs of each update: target frames, replay structures, or both.

There are two ways to mix them. `ByRatio` adds a number of replay structures to each batch of target
frames (the paper's Eq. 3, update by update). `BySize` does it as mace-torch: target frames and
replay structures are shuffled together and divided into batches, so that each set has weight in
proportion to its size.

A `Position` describes the state of a mixture completely, so that a resumed run continues with the
same frames.
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
from pestle.wording import percent

#: Target frames are repeated until they number this fraction of the replay structures (mace-torch
#: 0.3.16, --real_pt_data_ratio_threshold).
MACE_SHARE = 0.1
#: Number of draws over which means of a mixture are calculated.
SAMPLED = 200


@dataclass(frozen=True)
class Position:
    """State of a mixture.

    Attributes:
        lap: number of the current pass over the frames.
        place: number of batches of this pass that have been drawn.
        replayed: place in the replay stream.
        update: number of updates done.
    """

    lap: int = 0
    place: int = 0
    replayed: int = 0
    update: int = 0


@dataclass(frozen=True)
class Draw:
    """The graphs of one update. At least one of the two batches is present.

    Attributes:
        target: target frames.
        replay: replay structures.
        joint: whether the loss is the mean over all graphs; otherwise it is the sum of the means of
            the two batches.
    """

    target: GraphBatch | None
    replay: GraphBatch | None = None
    joint: bool = False

    @property
    def n_edges(self) -> int:
        """Total number of edges in both batches."""
        return sum(graphs.n_edges for graphs in (self.target, self.replay) if graphs is not None)


@dataclass(frozen=True)
class Passes:
    """The number of passes over the data that a number of updates makes.

    Attributes:
        target: passes over the target frames.
        replay: passes over the replay structures; below 1 it is the fraction of them that is used.
        n_replay: number of replay structures; 0 if there are none.
    """

    target: float
    replay: float
    n_replay: int

    def line(self) -> str:
        """Return the passes as text for the user."""
        digits = 1 if self.target < 10 else 0
        text = f"{self.target:,.{digits}f} passes over the target frames"
        if not self.n_replay:
            return text
        if self.replay < 1:
            return (
                f"{text}, {percent(self.replay)} of {self.n_replay:,} replay structures seen once"
            )
        return f"{text}, {self.replay:,.1f} over {self.n_replay:,} replay structures"


class Mixture(ABC):
    """Draws the graphs of each update of a run.

    Attributes:
        laps: the batches of a pass over the frames.
        updates_per_epoch: updates in an epoch, as defined by `train.epoch_covers`.
        every: replay structures are added to every so-many-th update.
    """

    laps: BatchPlan
    updates_per_epoch: int
    every: int = 1
    _lap: tuple[int, list[list[int]]] = (-1, [])

    @abstractmethod
    def draw(self, position: Position) -> tuple[Draw, Position]:
        """Draw the graphs of the next update.

        Args:
            position: the state before the update.

        Returns:
            The graphs, and the state after the update.
        """

    @abstractmethod
    def passes(self, updates: int) -> Passes:
        """Return the number of passes over the data that a number of updates makes."""

    def _members(self, position: Position) -> tuple[list[int], Position]:
        """Return the indices of the graphs in the next batch, and the state after it."""
        if self._lap[0] != position.lap:
            self._lap = (position.lap, self.laps.indices(position.lap + 1))
        batches = self._lap[1]
        after = replace(position, place=position.place + 1, update=position.update + 1)
        if after.place == len(batches):
            after = replace(after, lap=position.lap + 1, place=0)
        return batches[position.place], after


class ByRatio(Mixture):
    """Adds a fixed number of replay structures per target frame, in every or every k-th update.

    Args:
        settings: complete settings of the run.
        data: the graphs of the run.
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
        """Return a replay structure, unchanged or prepared for the target head.

        The target head has other E0s, so that such a structure has only force and stress labels.
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
        """Return the mean number of replay structures in the first `SAMPLED` updates."""
        assert self.replay is not None
        position = Position()
        for _ in range(SAMPLED):
            members, after = self._members(position)
            edges = sum(self.laps.graphs[k].n_edges for k in members)
            _, replayed = self.replay.draw(position.replayed, len(members), edges)
            position = replace(after, replayed=replayed)
        return position.replayed / SAMPLED / self.every


class Joined(Sequence[GraphBatch]):
    """Several sequences of graphs as one sequence, without a copy."""

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
    """Return how often mace-torch repeats each target frame.

    Args:
        n_target: number of target frames.
        n_replay: number of replay structures.
    """
    share = n_target / n_replay
    return 1 + int(MACE_SHARE / share) if share < MACE_SHARE else 1


class BySize(Mixture):
    """Makes batches from all frames together, as mace-torch does.

    Args:
        settings: complete settings of the run.
        data: the graphs of the run; they must include replay structures.
    """

    def __init__(self, settings: RunSettings, data: TrainingData) -> None:
        assert data.replay is not None
        train = settings.train
        self.n_replay, self.n_target = len(data.replay.train_graphs), len(data.train_graphs)
        #: How often each target frame occurs in a pass.
        self.repeats = target_repeats(self.n_target, self.n_replay)
        self.targets = self.repeats * self.n_target
        graphs = Joined([data.train_graphs] * self.repeats + [data.replay.train_graphs])
        self.laps = BatchPlan(graphs, train.batch_size, train.max_edges, train.seed)
        # A pass contains all frames, so that it is the epoch for every value of train.epoch_covers.
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
    """Create the mixture that the settings ask for.

    Args:
        settings: complete settings of the run.
        data: the graphs of the run.
    """
    if data.replay is not None and settings.replay.ratio == "size":
        return BySize(settings, data)
    return ByRatio(settings, data)
