"""Energies and compositions from which atomic reference energies (E0s) are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.structures.frame import Frame, composition_matrix, elements_of
from pestle.structures.reading import is_reference_atom

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation
    from pestle.foundations.prediction import KnownPredictions


@dataclass
class EnergyProblem:
    """The input of the methods: energies and compositions of frames, and predictions.

    Attributes:
        frames: frames with an energy, without isolated atoms, which do not interact.
        atoms: labelled IsolatedAtom frames.
        elements: atomic numbers in frames and atoms.
        counts: [n_frames, n_elements] number of atoms of each element.
        energy: [n_frames] eV, labels.
        interaction: [n_frames] eV, the foundation's energies without its E0s; `None` without one.
        foundation_e0s: atomic number → E0 of the foundation's head in eV.
        self_energies: atomic number → energy that the network adds to the E0 of a single atom, eV.
    """

    frames: list[Frame]
    atoms: list[Frame]
    elements: tuple[int, ...]
    counts: np.ndarray
    energy: np.ndarray
    interaction: np.ndarray | None = None
    foundation_e0s: dict[int, float] = field(default_factory=dict)
    self_energies: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        frames: Sequence[Frame],
        foundation: Foundation | None = None,
        head: str | None = None,
        *,
        max_edges: int | None = None,
        known: KnownPredictions | None = None,
    ) -> EnergyProblem:
        """Collect the energies of frames and predict them once with the foundation.

        Args:
            frames: frames of the data.
            foundation: the foundation; `None` for methods that need none.
            head: head of the foundation.
            max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
            known: earlier predictions of that head.

        Raises:
            PestleError: the foundation does not know an element or has no such head.
        """
        atoms = [f for f in frames if is_reference_atom(f)]
        labelled = [f for f in frames if f.energy is not None and not f.is_isolated_atom]
        elements = elements_of(frames)
        problem = cls(
            frames=labelled,
            atoms=atoms,
            elements=elements,
            counts=composition_matrix(labelled, elements),
            energy=np.array([f.energy for f in labelled], dtype=float),
        )
        if foundation is not None:
            # Imported here, because averaging needs no model and therefore no torch.
            from pestle.foundations.prediction import predict_frames

            require_elements(frames, foundation)
            title = "reference energies: predicting with the foundation"
            with progress(title, max(1, len(labelled))) as bar:
                predictions = predict_frames(
                    foundation,
                    labelled,
                    head=head,
                    max_edges=max_edges,
                    on_progress=bar.to,
                    known=known,
                    finite=True,
                )
            problem.interaction = np.array([p.interaction_energy for p in predictions])
            name = foundation.heads[foundation.head_index(head)]
            problem.foundation_e0s = dict(foundation.reference_energies[name])
            alone = foundation.isolated_atom_energies(name)
            problem.self_energies = {z: e - problem.foundation_e0s[z] for z, e in alone.items()}
        return problem

    def error_per_atom(self, e0s: Mapping[int, float]) -> np.ndarray:
        """Calculate the foundation's energy error per atom with given E0s.

        Args:
            e0s: atomic number → E0, eV.

        Returns:
            [n_frames] eV/atom, prediction minus label.
        """
        assert self.interaction is not None
        reference = self.counts @ np.array([e0s[z] for z in self.elements])
        return (self.interaction + reference - self.energy) / self.counts.sum(axis=1)


def lowest_atoms(problem: EnergyProblem) -> dict[int, float]:
    """Return the lowest energy of the isolated atoms of each element, eV."""
    atoms: dict[int, float] = {}
    for frame in problem.atoms:
        z = int(frame.numbers[0])
        if frame.energy is not None:
            atoms[z] = min(frame.energy, atoms.get(z, frame.energy))
    return atoms


def require_elements(frames: Sequence[Frame], foundation: Foundation) -> None:
    """Check that the foundation knows every element of the frames.

    Raises:
        PestleError: it does not; names the element and the first frame with it.
    """
    known = set(foundation.elements)
    for frame in frames:
        for z in frame.numbers:
            if int(z) not in known:
                raise PestleError(
                    f"{chemical_symbols[int(z)]} is not among the {len(known)} elements of "
                    f"{foundation.provenance.name}",
                    where=frame.where,
                    fix="Choose a foundation that covers it, or leave those frames out.",
                )
