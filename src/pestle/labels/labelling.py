"""Pseudolabels: structures with the energies, forces and stresses of a model as their labels.

Every labelled frame is signed (`signatures`): which model, which structure, which labels. Labels
are taken over only where the signature is right, and made anew otherwise. So that structures are
labelled exactly as their file will give them back, positions are rounded before and labels after.
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

#: Frames that one error names.
NAMED = 5


class Labeller(Protocol):
    """Whatever makes labels."""

    @property
    def id(self) -> str:
        """Short text, the same where the labels are the same; without white space and slashes."""

    def batches(self, frames: Sequence[Frame]) -> Iterator[list[Labels]]:
        """Labels of all frames in their order, some frames at a time."""


@dataclass
class Labelled:
    """What labelling gave.

    Attributes:
        frames: copies of the frames, in their order, with the labels.
        labelled_by: id of the labeller.
        reused: frames whose labels were there already, checked by their hashes.
        made: frames whose labels were made now; with `reused` they are all.
        replaced: frames that came with labels of another origin; none of those is left.
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
    """Copies of frames with a foundation's own labels, on its device and in its precision.

    What remains of a frame and what is dropped: see `label_with`.

    Args:
        frames: structures; labels that they carry are used only if they are this model's.
        foundation: the model. With other reference energies it is another model.
        head: head of the model; may be left out where there is one.
        fingerprint: that of the model as it was loaded, where `foundation` is the same in another
            precision; by default the foundation's.
        known: labelled frames of earlier runs; used where model and structure are the same.
        max_edges: edges in a batch; by default the model's `edges_at_once`.
        on_batch: called with the labels of each batch by structure id, as soon as they are made.
        on_progress: called with the number of frames that have labels.

    Raises:
        PestleError: an element that the model lacks, a structure that is not whole, or a prediction
            that is not finite; names the frame.
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
    """Copies of frames with the labels of any labeller.

    Of a frame remain its structure (positions to 1e-8 Å), charge, spin, config_type, config_weight
    (how much the structure counts) and the texts in `atoms.info` (names, identifiers). Dropped are
    labels of another origin under whatever name, and with them the weights of single labels and the
    head, which were meant for them; also per-atom arrays and constraints. Equal structures are
    labelled once.

    Args:
        labeller: makes the labels that are not there yet.
        known: its labels by structure id, as far as they are there.
        frames, on_batch, on_progress: as in `label_frames`.

    Raises:
        PestleError: a structure that is not whole, or labels that are not finite; names the frame.
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
    """The structure as a file gives it back, without any label."""
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
    """All labels must be finite numbers.

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
    """Labels by a foundation model, in batches of bounded size.

    Args:
        foundation: predicts on its own device and in its own precision; not copied.
        head: head of the model; may be left out where there is one.
        fingerprint: that of the model as it was loaded; by default the foundation's.
        max_edges: edges in a batch; by default the model's `edges_at_once`.
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
        """Labels of all frames in their order, a batch at a time.

        Raises:
            PestleError: an element that the model lacks; before anything is predicted.
            OutOfMemory: a batch does not fit.
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
