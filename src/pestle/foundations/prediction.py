"""Predict many frames with a model, in batches with a limited number of edges."""

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
    """This class holds what a model predicts for one frame.

    Attributes:
        energy: total energy in eV, float64.
        interaction_energy: total energy minus the sum of the E0s, in eV.
        forces: [n_atoms, 3] eV/Å.
        stress: [3, 3] eV/Å³; `None` for a frame that is not periodic.
    """

    energy: float
    interaction_energy: float
    forces: np.ndarray
    stress: np.ndarray | None

    @property
    def finite(self) -> bool:
        """Return whether energy, forces and stress (if there is one) are finite numbers."""
        return bool(
            np.isfinite(self.energy)
            and np.isfinite(self.forces).all()
            and (self.stress is None or np.isfinite(self.stress).all())
        )


class KnownPredictions:
    """This class remembers the predictions of one head of a model.

    `predict_frames` does not predict remembered frames again. A frame is recognised as the same
    Python object, not by its content. Its atoms must not be moved as long as the predictions are
    used.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Frame, FramePrediction]] = {}

    def add(self, frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> None:
        """Remember the predictions of these frames.

        Args:
            frames: the frames that were predicted.
            predictions: one prediction per frame, in the same order.
        """
        for frame, said in zip(frames, predictions, strict=True):
            # The frame is kept as well. Otherwise Python could give its id to a new frame.
            self._found[id(frame)] = (frame, said)

    def unknown(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return those of the frames that have no remembered prediction."""
        return [frame for frame in frames if id(frame) not in self._found]

    def of(self, frames: Sequence[Frame]) -> list[FramePrediction]:
        """Return the predictions of frames that all have one, in the order of the frames."""
        return [self._found[id(frame)][1] for frame in frames]


def batches_by_edges(graphs: Iterable[GraphBatch], max_edges: int) -> Iterator[GraphBatch]:
    """Join consecutive graphs into batches with a limited number of edges.

    Args:
        graphs: graphs of single frames.
        max_edges: largest number of edges in a batch; a graph that has more is a batch of its own.
    """
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
    """Split the prediction of a batch into those of its frames.

    Args:
        batch: the graphs that were predicted.
        prediction: the prediction of this batch, on any device.
    """
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
    """Turn a lack of memory while a batch is predicted into an error for the user.

    Args:
        batch: the batch; its `frame` gives the index of each graph in `frames`.
        frames: all frames that are predicted.
        device: the device that predicts.
        max_edges: largest number of edges that was allowed in a batch, for the advice in the error.

    Returns:
        A context manager for the prediction.
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
    """Predict all frames in their order and yield the predictions of one batch after another.

    Args:
        foundation: the model; it predicts on its own device and in its own dtype.
        frames: structures; their labels are not used.
        head: index of the head.
        max_edges: largest number of edges in a batch; `None` means the model's `edges_at_once`.

    Raises:
        OutOfMemory: a batch does not fit into the memory of the device.
        PestleError: the model does not know an element.
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
    """Predict all frames.

    Args:
        foundation: the model; it predicts on its own device and in its own dtype.
        frames: structures; their labels are not used.
        head: name of the head, as for `Foundation.head_index`.
        max_edges: largest number of edges in a batch; `None` means the model's `edges_at_once`.
        on_progress: function that is called after each batch with the number of frames done so far.
        known: earlier predictions of the same head of the same model. Frames in it are not
            predicted again; the others are added to it.
        finite: whether a prediction that is not a finite number is an error.

    Returns:
        One prediction per frame, in the order of the frames.

    Raises:
        OutOfMemory: a batch does not fit into the memory of the device.
        PestleError: there is no such head, the model does not know an element, or `finite` is set
            and a prediction is not finite; the error names the frames.
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
    """Raise a `PestleError` that names the frames whose prediction is not finite."""
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
