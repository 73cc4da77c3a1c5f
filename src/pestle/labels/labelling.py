"""Pseudolabels: structures with energies, forces and stresses predicted by a model.

Every labelled frame has a signature (`signatures`) of model, structure and labels. Labels are
reused only if the signature is correct, and otherwise calculated again. Positions are rounded
before the prediction and labels after it, so that labels belong exactly to the structure as it is
read from its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_batches
from pestle.labels.signatures import (
    DECIMALS,
    Labels,
    labels_by,
    model_id,
    rounded,
    signature,
    structure_id,
    verified_labels,
)
from pestle.structures.frame import Frame

#: Number of frames that an error names.
NAMED = 5


class Labeller(Protocol):
    """The interface of everything that makes labels."""

    @property
    def id(self) -> str:
        """Short text without spaces and slashes; equal only if the labels are equal."""

    def batches(self, frames: Sequence[Frame]) -> Iterator[list[Labels]]:
        """Yield the labels of all frames in their order, in batches of frames."""


@dataclass
class Labelled:
    """The result of labelling.

    Attributes:
        frames: copies of the frames with labels, in the same order.
        labelled_by: id of the labeller.
        reused: number of frames whose labels existed already, checked by their hashes.
        made: number of frames whose labels were made now; together with `reused` these are all.
        replaced: number of frames that had labels of another origin, which were removed.
    """

    frames: list[Frame]
    labelled_by: str
    reused: int
    made: int
    replaced: int


def label_frames(
    frames: Sequence[Frame],
    foundation: Foundation,
    head: str | None = None,
    *,
    fingerprint: str | None = None,
    known: Iterable[Frame] = (),
    max_edges: int | None = None,
    on_batch: Callable[[Mapping[str, Labels]], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Labelled:
    """Copy frames and label them with a foundation, on its device and in its precision.

    `label_with` describes what is kept and what is removed.

    Args:
        frames: the structures; labels that they have are used only if this model made them.
        foundation: the model. With other reference energies it is another model.
        head: head of the model; not needed if there is only one.
        fingerprint: fingerprint of the model as it was loaded, if `foundation` is the same model in
            another precision; by default the foundation's.
        known: labelled frames of earlier runs; used if model and structure are the same.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
        on_batch: called with structure id → labels of each batch as soon as they are made.
        on_progress: called with the number of frames that have labels.

    Returns:
        The labelled frames.

    Raises:
        PestleError: the model does not know an element, a structure is incomplete, or a prediction
            is not finite; names the frame.
    """
    labeller = FoundationLabeller(foundation, head, fingerprint=fingerprint, max_edges=max_edges)
    found = verified_labels(labeller.id, known)
    return label_with(labeller, frames, known=found, on_batch=on_batch, on_progress=on_progress)


def label_with(
    labeller: Labeller,
    frames: Sequence[Frame],
    *,
    known: Mapping[str, Labels] | None = None,
    on_batch: Callable[[Mapping[str, Labels]], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Labelled:
    """Copy frames and label them with any labeller.

    Kept are the structure (positions to 1e-8 Å), charge, spin, config_type, config_weight (the
    weight of the structure) and texts in `atoms.info` (names, identifiers). Removed are labels of
    another origin under any name, the weights of single labels and the head, which belong to these
    labels, and also per-atom arrays and constraints. Equal structures are labelled once.

    Args:
        labeller: makes the missing labels.
        frames: as in `label_frames`.
        known: structure id → labels of this labeller that exist already.
        on_batch: as in `label_frames`.
        on_progress: as in `label_frames`.

    Returns:
        The labelled frames.

    Raises:
        PestleError: a structure is incomplete, or labels are not finite; names the frame.
    """
    bare = [_bare(frame) for frame in frames]
    ids = [structure_id(frame) for frame in bare]
    own = [labels_by(labeller.id, frame) for frame in frames]
    labels = dict(known or {})
    labels.update((key, found) for key, found in zip(ids, own, strict=True) if found is not None)
    replaced = sum(
        found is None and any(x is not None for x in (frame.energy, frame.forces, frame.stress))
        for frame, found in zip(frames, own, strict=True)
    )
    missing: dict[str, Frame] = {}
    for key, frame in zip(ids, bare, strict=True):
        if key not in labels:
            missing.setdefault(key, frame)
    count = Counter(ids)
    reused = done = sum(key in labels for key in ids)
    todo = iter(missing.items())
    for batch in labeller.batches(list(missing.values())):
        made = [(*next(todo), new) for new in batch]
        require_finite([(frame, new) for _, frame, new in made])
        by_structure = {key: new for key, _, new in made}
        if on_batch is not None:
            on_batch(by_structure)
        labels |= by_structure
        done += sum(count[key] for key in by_structure)
        if on_progress is not None:
            on_progress(done)
    result = [
        _with_labels(frame, labels[key], labelled_by=signature(labeller.id, key, labels[key]))
        for key, frame in zip(ids, bare, strict=True)
    ]
    return Labelled(result, labeller.id, reused, len(ids) - reused, replaced)


def _bare(frame: Frame) -> Frame:
    """Return the structure as it is read from a file, without labels."""
    atoms = frame.atoms
    _require_whole(frame)
    positions = rounded(atoms.positions, DECIMALS)
    bare = Atoms(atoms.numbers, positions, cell=atoms.cell.array + 0.0, pbc=atoms.pbc)
    bare.info = {key: value for key, value in atoms.info.items() if isinstance(value, str)}
    return Frame(
        bare,
        config_type=frame.config_type,
        weight=frame.weight,
        charge=frame.charge,
        spin=frame.spin,
        source=frame.source,
        index=frame.index,
    )


def _with_labels(bare: Frame, labels: Labels, *, labelled_by: str) -> Frame:
    return replace(
        bare,
        energy=labels.energy,
        forces=None if labels.forces is None else labels.forces.copy(),
        stress=None if labels.stress is None else labels.stress.copy(),
        labelled_by=labelled_by,
    )


def _require_whole(frame: Frame) -> None:
    atoms, pbc = frame.atoms, np.asarray(frame.atoms.pbc)
    state = [x for x in (frame.charge, frame.spin) if x is not None]
    if len(atoms) == 0:
        problem = "it holds no atoms"
    elif not all(np.isfinite(x).all() for x in (atoms.positions, atoms.cell.array, state)):
        problem = "a position, cell vector, charge or spin is not a finite number"
    elif np.linalg.matrix_rank(atoms.cell.array[pbc]) < pbc.sum():
        problem = "it is periodic along a cell vector that is missing or depends on the others"
    else:
        return
    raise PestleError(
        f"the structure cannot be labelled: {problem}",
        where=frame.where,
        fix="Mend that frame or leave it out.",
    )


def require_finite(labelled: Sequence[tuple[Frame, Labels]]) -> None:
    """Check that all labels are finite numbers.

    Args:
        labelled: frames with their labels.

    Raises:
        PestleError: some are not; names the frames.
    """
    bad = [frame.where for frame, labels in labelled if not labels.finite]
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise PestleError(
            "the labels are not finite numbers",
            where=", ".join(bad[:NAMED]) + more,
            fix="Such structures are far outside what the model knows: leave them out.",
        )


class FoundationLabeller:
    """Labels structures with a foundation, in batches of limited size.

    Args:
        foundation: predicts on its own device and in its own precision; not copied.
        head: head of the model; not needed if there is only one.
        fingerprint: fingerprint of the model as it was loaded; by default the foundation's.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
    """

    def __init__(
        self,
        foundation: Foundation,
        head: str | None = None,
        *,
        fingerprint: str | None = None,
        max_edges: int | None = None,
    ) -> None:
        self.foundation, self.max_edges = foundation, max_edges
        self.head = foundation.head_index(head)
        dtype = str(foundation.dtype).removeprefix("torch.")
        fingerprint = fingerprint or foundation.fingerprint()
        self.id = model_id(fingerprint, foundation.heads[self.head], dtype)

    def batches(self, frames: Sequence[Frame]) -> Iterator[list[Labels]]:
        """Yield the labels of all frames in their order, batch by batch.

        Raises:
            PestleError: the model does not know an element; raised before anything is predicted.
            OutOfMemory: a batch does not fit into memory.
        """
        model = self.foundation
        known = set(model.elements)
        for frame in frames:
            for z in frame.numbers:
                if int(z) not in known:
                    raise PestleError(
                        f"{model.provenance.name} does not know {chemical_symbols[int(z)]}",
                        where=frame.where,
                        fix="Choose a model that does, or leave such frames out.",
                    )
        for made in predict_batches(model, frames, self.head, self.max_edges):
            yield [Labels.rounded(frame.energy, frame.forces, frame.stress) for frame in made]
