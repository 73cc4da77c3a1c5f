"""A labelled structure in Pestle's units: eV, Å, eV/Å, eV/Å³ (ASE's sign of the stress)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from ase import Atoms

from pestle.structures.unread import Unread

ISOLATED_ATOM = "IsolatedAtom"
T = TypeVar("T")


@dataclass
class Frame:
    """A structure with its labels; a missing label is `None`, never zero.

    Attributes:
        atoms: the structure, without calculator.
        energy: total energy in eV.
        forces: [n_atoms, 3] in eV/Å.
        stress: [3, 3] in eV/Å³, ASE's sign; `None` for frames that are not periodic in 3D.
        config_type: group for which errors are reported.
        weight: `config_weight`; multiplies every term of the frame's loss.
        energy_weight, forces_weight, stress_weight: `config_energy_weight`, `config_forces_weight`,
            `config_stress_weight`.
        head: name of the head for which the frame was written, if any.
        charge, spin: `total_charge` (e) and `total_spin` (multiplicity), if given.
        labelled_by: `pestle_labels`: signature of the model that made the labels, and of the
            structure (`pestle.labels.signatures`); `None` for labels of any other origin.
        source, index: file and frame number (from 0) from which the frame was read.
        notes: remarks of the reader about this frame.
        unread: numbers in the file for this frame that were not read.
        energy_key: key from which the energy was read, without its place.
        energy_gap: other energy of the file minus the one that was read, eV, for files with both
            `energy` (σ → 0) and `free_energy`; `None` if there are not two different ones.
    """

    atoms: Atoms
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    config_type: str = "Default"
    weight: float = 1.0
    energy_weight: float = 1.0
    forces_weight: float = 1.0
    stress_weight: float = 1.0
    head: str | None = None
    charge: float | None = None
    spin: float | None = None
    labelled_by: str | None = None
    source: str = ""
    index: int = 0
    notes: list[str] = field(default_factory=list)
    unread: tuple[Unread, ...] = ()
    energy_key: str = ""
    energy_gap: float | None = None

    @property
    def where(self) -> str:
        """File and frame number, as messages name the frame."""
        return f"{self.source} frame {self.index}" if self.source else f"frame {self.index}"

    @property
    def numbers(self) -> np.ndarray:
        """Atomic numbers [n_atoms]."""
        return self.atoms.numbers

    @property
    def is_isolated_atom(self) -> bool:
        """Whether this frame is a reference atom: one atom with `config_type` IsolatedAtom."""
        return len(self.atoms) == 1 and self.config_type == ISOLATED_ATOM

    @property
    def is_periodic(self) -> bool:
        """Whether a stress is defined: the frame is periodic in all three directions."""
        return bool(np.all(self.atoms.pbc))

    def __len__(self) -> int:
        return len(self.atoms)


def is_labelled(frame: Frame) -> bool:
    """Whether a frame has any label."""
    return frame.energy is not None or frame.forces is not None or frame.stress is not None


def elements_of(frames: Iterable[Frame]) -> tuple[int, ...]:
    """Return the atomic numbers that occur in the frames, in ascending order."""
    found: set[int] = set()
    for frame in frames:
        found.update(int(z) for z in np.unique(frame.numbers))
    return tuple(sorted(found))


def composition_matrix(frames: Sequence[Frame], elements: Sequence[int]) -> np.ndarray:
    """Count the atoms of each element, n_i^Z in the paper's Eq. 5 and 6.

    Args:
        frames: the structures.
        elements: atomic numbers of the columns.

    Returns:
        [n_frames, n_elements] atom counts.
    """
    column = {z: k for k, z in enumerate(elements)}
    counts = np.zeros((len(frames), len(elements)))
    for row, frame in enumerate(frames):
        for z, n in zip(*np.unique(frame.numbers, return_counts=True), strict=True):
            counts[row, column[int(z)]] = n
    return counts


def split_isolated_atoms(frames: Iterable[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Separate isolated reference atoms from all other frames.

    Returns:
        The other frames and the isolated atoms.
    """
    rest: list[Frame] = []
    atoms: list[Frame] = []
    for frame in frames:
        (atoms if frame.is_isolated_atom else rest).append(frame)
    return rest, atoms


def thinned(frames: Sequence[Frame], count: int, seed: int) -> list[Frame]:
    """Return at most `count` randomly chosen frames in the order of the file.

    Args:
        frames: the frames.
        count: largest number of frames.
        seed: seed of the choice.
    """
    if len(frames) <= count:
        return list(frames)
    chosen = np.random.default_rng(seed).permutation(len(frames))[:count]
    return [frames[k] for k in sorted(chosen.tolist())]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Return at most `count` evenly spaced items, including the first; all if there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[k * len(items) // count] for k in range(count)]
