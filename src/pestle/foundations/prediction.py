"""Predict many frames with a model, in batches bounded by their edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.foundations.interface import Foundation, Prediction
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graph

#: Edges per batch: about 1 GB for a medium MACE in float64.
BATCH_EDGES = 100_000


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


def batches_by_edges(
    graphs: Iterable[GraphBatch], max_edges: int = BATCH_EDGES
) -> Iterator[GraphBatch]:
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


def predict_frames(
    foundation: Foundation,
    frames: Sequence[Frame],
    *,
    head: str | None = None,
    max_edges: int = BATCH_EDGES,
    on_progress: Callable[[int], None] | None = None,
) -> list[FramePrediction]:
    """Predictions of all frames, in their order.

    Args:
        foundation: the model; predicts on its own device and in its own dtype.
        frames: structures (labels are not looked at).
        head: head of the model; may be left out where there is one.
        max_edges: edges per batch.
        on_progress: called with the number of frames done after each batch.
    """
    index = foundation.head_index(head)
    results: list[FramePrediction] = []
    graphs = (
        make_graph(frame, foundation.cutoff, index=k, dtype=foundation.dtype)
        for k, frame in enumerate(frames)
    )
    for graph_batch in batches_by_edges(graphs, max_edges):
        batch = graph_batch.to(foundation.device, foundation.dtype).with_head(index)
        prediction = foundation.predict(batch, stress=bool(batch.periodic.any()))
        results += per_frame(batch, prediction)
        if on_progress is not None:
            on_progress(len(results))
    return results
