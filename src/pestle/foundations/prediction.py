"""Predict many frames with a model, in batches bounded by their edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from pestle.errors import PestleError
from pestle.foundations.devices import fits_memory
from pestle.foundations.interface import Foundation, Prediction
from pestle.foundations.memory import keep_freed_memory
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graph


@dataclass
class FramePrediction:
    """What a model says of one frame; eV, eV/Å, eV/Å³.

    `energy` is the total (float64), `interaction_energy` that total without the E0s. `stress` is
    `None` for frames that are not periodic.
    """

    energy: float
    interaction_energy: float
    forces: np.ndarray
    stress: np.ndarray | None

    @property
    def finite(self) -> bool:
        """Whether energy, forces and, where there is one, stress are numbers."""
        return bool(
            np.isfinite(self.energy)
            and np.isfinite(self.forces).all()
            and (self.stress is None or np.isfinite(self.stress).all())
        )


class KnownPredictions:
    """What one head of a model said of frames before: `predict_frames` does not ask it again.

    A frame is known by its identity, not by its content; nobody may move its atoms meanwhile.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Frame, FramePrediction]] = {}

    def add(self, frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> None:
        """Keep the predictions of these frames."""
        for frame, said in zip(frames, predictions, strict=True):
            # The frame is kept, too: another one must not get its identity.
            self._found[id(frame)] = (frame, said)

    def unknown(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames that nothing is known of."""
        return [frame for frame in frames if id(frame) not in self._found]

    def of(self, frames: Sequence[Frame]) -> list[FramePrediction]:
        """The predictions of frames that are all known."""
        return [self._found[id(frame)][1] for frame in frames]


def batches_by_edges(graphs: Iterable[GraphBatch], max_edges: int) -> Iterator[GraphBatch]:
    """Join consecutive graphs into batches of at most `max_edges` edges (one graph at least)."""
    pending: list[GraphBatch] = []
    edges = 0
    for graph in graphs:
        if pending and edges + graph.n_edges > max_edges:
            yield collate(pending)
            pending, edges = [], 0
        pending.append(graph)
        edges += graph.n_edges
    if pending:
        yield collate(pending)


def per_frame(batch: GraphBatch, prediction: Prediction) -> list[FramePrediction]:
    """Cut the prediction of a batch into its frames."""
    energy = prediction.energy.detach().cpu().numpy()
    interaction = prediction.interaction_energy.detach().double().cpu().numpy()
    forces = prediction.forces.detach().double().cpu().numpy()
    stress = (
        None if prediction.stress is None else prediction.stress.detach().double().cpu().numpy()
    )
    ptr, periodic = batch.ptr.tolist(), batch.periodic.tolist()
    return [
        FramePrediction(
            energy=float(energy[k]),
            interaction_energy=float(interaction[k]),
            forces=forces[ptr[k] : ptr[k + 1]],
            stress=stress[k] if stress is not None and periodic[k] else None,
        )
        for k in range(batch.n_graphs)
    ]


def fits_prediction(
    batch: GraphBatch, frames: Sequence[Frame], device: torch.device, max_edges: int
) -> AbstractContextManager[None]:
    """A block that predicts a batch; too little memory there is an error for the user.

    Args:
        batch: its `frame` says which frames are in it.
        frames: the list that `frame` counts in.
        device: that predicts.
        max_edges: edges that were allowed in a batch.
    """
    where, others = frames[int(batch.frame[0])].where, batch.n_graphs - 1
    return fits_memory(
        device,
        batch,
        doing="in a prediction",
        where=f"{where} and {others} more" if others else where,
        fix=f"Allow fewer edges in a batch than {max_edges:,}: lower train.eval_batch_edges of a "
        "run, or give pestle evaluate and pestle label --max-edges."
        if others
        else "That structure alone is too large: leave it out, or use a device with more memory.",
    )


def predict_batches(
    foundation: Foundation, frames: Sequence[Frame], head: int, max_edges: int | None
) -> Iterator[list[FramePrediction]]:
    """Predictions of all frames in their order, a batch at a time.

    Args:
        foundation: the model; predicts on its own device and in its own dtype.
        frames: structures (labels are not looked at).
        head: index of the head.
        max_edges: edges per batch; by default the model's `edges_at_once`.

    Raises:
        OutOfMemory: a batch does not fit.
    """
    keep_freed_memory()
    max_edges = max_edges or foundation.edges_at_once
    graphs = (
        make_graph(frame, foundation.cutoff, index=k, dtype=foundation.dtype)
        for k, frame in enumerate(frames)
    )
    for joined in batches_by_edges(graphs, max_edges):
        with fits_prediction(joined, frames, foundation.device, max_edges):
            batch = joined.to(foundation.device, foundation.dtype).with_head(head)
            prediction = foundation.predict(batch, stress=bool(batch.periodic.any()))
            made = per_frame(batch, prediction)
        yield made


def predict_frames(
    foundation: Foundation,
    frames: Sequence[Frame],
    *,
    head: str | None = None,
    max_edges: int | None = None,
    on_progress: Callable[[int], None] | None = None,
    known: KnownPredictions | None = None,
    finite: bool = False,
) -> list[FramePrediction]:
    """Predictions of all frames, in their order.

    Args:
        foundation: the model; predicts on its own device and in its own dtype.
        frames: structures (labels are not looked at).
        head: head of the model; may be left out where there is one.
        max_edges: edges per batch; by default the model's `edges_at_once`.
        on_progress: called with the number of frames done after each batch.
        known: of this head of this model; frames that are in it are not predicted, the others are
            added to it.
        finite: whether a prediction that is no number is an error.

    Raises:
        PestleError: a prediction is not finite, and `finite`; names the frames.
        OutOfMemory: a batch does not fit.
    """
    index = foundation.head_index(head)
    if known is not None:
        new = known.unknown(frames)
        done = len(frames) - len(new)

        def advance(count: int) -> None:
            if on_progress is not None:
                on_progress(done + count)

        advance(0)
        made = predict_frames(foundation, new, head=head, max_edges=max_edges, on_progress=advance)
        known.add(new, made)
        said = known.of(frames)
        if finite:
            _require_finite(foundation, frames, said)
        return said
    results: list[FramePrediction] = []
    for made in predict_batches(foundation, frames, index, max_edges):
        results += made
        if on_progress is not None:
            on_progress(len(results))
    if finite:
        _require_finite(foundation, frames, results)
    return results


def _require_finite(
    foundation: Foundation, frames: Sequence[Frame], said: Sequence[FramePrediction]
) -> None:
    bad = [f.where for f, p in zip(frames, said, strict=True) if not p.finite]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise PestleError(
            f"the energy, forces or stress that {foundation.provenance.name} gives for it is no "
            "finite number",
            where=", ".join(bad[:3]) + more,
            fix="Look at that structure and leave it out; where all are named, the model is at "
            "fault.",
        )
