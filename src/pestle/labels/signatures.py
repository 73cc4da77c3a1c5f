"""Signatures of labels: which model made them, for which structure, and whether they are unchanged.

A signature is LABELLER/STRUCTURE/LABELS: the id of the model with head and precision (or of the
calculator), a hash of the structure and a hash of the labels. Each frame can therefore be checked
on its own, in any subset, merge or order of files.

Structures and labels are rounded before they are hashed, because hashes must be the same after
reading them from a file. Pestle's own files keep every digit, but ASE writes 8 decimals of
positions and forces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from pestle.structures.frame import Frame

#: Decimals of positions (Å), energies (eV) and forces (eV/Å): those of ASE's extended XYZ.
DECIMALS = 8
#: Decimals of stresses (eV/Å³); 1e-10 eV/Å³ is 16 Pa.
STRESS_DECIMALS = 10


@dataclass(frozen=True)
class Labels:
    """Rounded labels of one structure; `None` for what a model does not give.

    Attributes:
        energy: total energy in eV.
        forces: [n_atoms, 3] eV/Å.
        stress: [3, 3] eV/Å³ in ASE's sign, symmetric; only for structures that are periodic in
            three directions.
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None

    @classmethod
    def rounded(
        cls, energy: float | None, forces: np.ndarray | None, stress: np.ndarray | None
    ) -> Labels:
        """Round raw values to the digits that are written to files.

        Args:
            energy: total energy in eV.
            forces: [n_atoms, 3] eV/Å.
            stress: [3, 3] eV/Å³; made symmetric.
        """
        return cls(
            None if energy is None else round(float(energy), DECIMALS) + 0.0,
            None if forces is None else rounded(forces, DECIMALS),
            None if stress is None else rounded(0.5 * (stress + stress.T), STRESS_DECIMALS),
        )

    @property
    def finite(self) -> bool:
        """Whether all labels are finite numbers."""
        values = (self.energy, self.forces, self.stress)
        return all(bool(np.isfinite(value).all()) for value in values if value is not None)

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of energy, forces and stress."""
        return _digest(self.energy, self.forces, self.stress)


def model_id(fingerprint: str, head: str, dtype: str) -> str:
    """Return the id of a model as a labeller.

    Args:
        fingerprint: `Foundation.fingerprint()` of the model as it was loaded.
        head: name of the head.
        dtype: precision of the predictions, e.g. "float64".
    """
    return f"model:{fingerprint}:{quote(head, safe='')}:{dtype}"


def structure_id(frame: Frame) -> str:
    """Return the id of a structure: the first 16 hexadecimal digits of a SHA-256.

    It depends on numbers, positions to 1e-8 Å, cell, periodicity, total charge and spin.
    """
    atoms = frame.atoms
    return _digest(
        atoms.numbers,
        rounded(atoms.positions, DECIMALS),
        atoms.cell.array,
        np.asarray(atoms.pbc),
        frame.charge,
        frame.spin,
    )


def labels_by(labeller: str, frame: Frame) -> Labels | None:
    """Return the labels of a frame if they are from this labeller and unchanged.

    Args:
        labeller: id of the labeller.
        frame: the frame; its `labelled_by` is the signature.

    Returns:
        The labels; `None` if they have another origin, or if labels or structure were changed.
    """
    if not (frame.labelled_by or "").startswith(f"{labeller}/"):
        return None
    labels = Labels.rounded(frame.energy, frame.forces, frame.stress)
    expected = signature(labeller, structure_id(frame), labels)
    return labels if frame.labelled_by == expected else None


def verified_labels(labeller: str, frames: Iterable[Frame]) -> dict[str, Labels]:
    """Return structure id → labels for all frames that this labeller labelled.

    Args:
        labeller: id of the labeller.
        frames: labelled frames.
    """
    found = ((frame, labels_by(labeller, frame)) for frame in frames)
    return {structure_id(frame): labels for frame, labels in found if labels is not None}


def signature(labeller: str, structure: str, labels: Labels) -> str:
    """Return the signature of labels, the value of `Frame.labelled_by`.

    Args:
        labeller: id of the labeller.
        structure: id of the structure.
        labels: the labels.
    """
    return f"{labeller}/{structure}/{labels.digest}"


def rounded(values: Any, decimals: int) -> np.ndarray:
    """Round values to a number of decimals, without negative zeros."""
    return np.round(np.asarray(values, dtype=float), decimals) + 0.0


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none")
            continue
        array = np.asarray(part, dtype="<f8") + 0.0  # 0.0 and -0.0 are equal, their bytes are not
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]
