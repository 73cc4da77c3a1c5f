"""Structures to try a model on, and what the checks ask of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation, Prediction
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs


def example_frames(elements: Sequence[int]) -> list[Frame]:
    """A crystal, a molecule, a single atom and a slab of some of these elements, all disturbed.

    Args:
        elements: atomic numbers; the first three are used.
    """
    first, second = elements[0], elements[min(1, len(elements) - 1)]
    third = elements[min(2, len(elements) - 1)]
    bond = 1.15 * float(covalent_radii[first] + covalent_radii[second])
    cell = bond * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    crystal = Atoms([first, second], positions=[[0, 0, 0], [bond] * 3], cell=cell, pbc=True)
    shape = np.array([[0, 0, 0], [1, 0, 0], [-0.4, 0.9, 0], [0.2, -0.3, 1.1], [1.4, 0.9, 0.3]])
    molecule = Atoms([first, second, third, second, first], positions=1.2 * bond * shape)
    slab = Atoms([first, second], positions=[[0, 0, 0], [0.5 * bond, 0.5 * bond, 0.9 * bond]])
    slab.set_cell([1.4 * bond, 1.4 * bond, 12.0])
    slab.pbc = (True, True, False)
    generator, found = np.random.default_rng(3), []
    for index, atoms in enumerate((crystal, molecule, Atoms([first]), slab)):
        atoms.positions += generator.normal(scale=0.04 * bond, size=atoms.positions.shape)
        found.append(Frame(atoms, index=index))
    return found


@dataclass(frozen=True)
class Case:
    """A model with the structures that it is tried on.

    Attributes:
        model: in float64; no check changes it.
        frames: structures of its elements, a crystal and a molecule of three atoms among them.
    """

    model: Foundation
    frames: Sequence[Frame]

    def __post_init__(self) -> None:
        if not any(f.is_periodic for f in self.frames) or not any(
            len(f) > 2 and not f.atoms.pbc.any() for f in self.frames
        ):
            raise PestleError(
                "a model is checked on a crystal and on a molecule of three atoms or more at least",
                where="frames",
                fix="Leave them out: Pestle makes some of the model's elements.",
            )

    @property
    def crystal(self) -> Frame:
        """The first frame that is periodic in three directions."""
        return next(f for f in self.frames if f.is_periodic)

    @property
    def molecule(self) -> Frame:
        """The first frame that is not periodic and has three atoms or more."""
        return next(f for f in self.frames if len(f) > 2 and not f.atoms.pbc.any())

    @property
    def head(self) -> int:
        """The head that is asked where one is enough: the last."""
        return len(self.model.heads) - 1

    def batch(
        self, frames: Sequence[Frame] | None = None, model: Foundation | None = None
    ) -> GraphBatch:
        """Structures as one batch for the last head, on the model's device."""
        model = model or self.model
        graphs = make_graphs(self.frames if frames is None else frames, model.cutoff)
        batch = collate(graphs).to(model.device, model.dtype)
        return batch.with_head(len(model.heads) - 1)

    def predict(
        self, frames: Sequence[Frame] | None = None, model: Foundation | None = None
    ) -> Prediction:
        """Energies, forces and stress of structures by the last head."""
        model = model or self.model
        return model.predict(self.batch(frames, model), stress=True)

    def energy(self, frame: Frame) -> float:
        """Total energy of a structure in eV."""
        return float(self.predict([frame]).energy)


def moved(frame: Frame, change: Callable[[Atoms], None]) -> Frame:
    """A frame after a change of its atoms."""
    atoms = frame.atoms.copy()
    change(atoms)
    return Frame(atoms, index=frame.index)


def require_close(
    found: torch.Tensor | float, wanted: torch.Tensor | float, allowed: float, what: str
) -> None:
    """Two quantities agree, relative to the largest value (and at least to 1).

    Raises:
        AssertionError: they do not; says what differs by how much.
    """
    a = torch.as_tensor(found, dtype=torch.float64)
    b = torch.as_tensor(wanted, dtype=torch.float64)
    require_true(a.shape == b.shape, f"{what}: shape {tuple(a.shape)}, expected {tuple(b.shape)}")
    if not a.numel():
        return
    a, b = a.detach().cpu(), b.detach().cpu()
    difference = float((a - b).abs().max() / b.abs().max().clamp(min=1.0))
    require_true(  # NaN fails
        difference <= allowed, f"{what}: relative difference {difference:.2g}, allowed {allowed:g}"
    )


def require_true(holds: bool, what: str) -> None:
    """A fact holds, also where Python leaves `assert` out.

    Raises:
        AssertionError: it does not.
    """
    if not holds:
        raise AssertionError(what)


def require_same(found: Prediction, wanted: Prediction, allowed: float, what: str) -> None:
    """Two predictions agree in everything.

    Raises:
        AssertionError: they do not; says in what.
    """
    for item in fields(wanted):
        one, other = getattr(found, item.name), getattr(wanted, item.name)
        if one is not None and other is not None:
            require_close(one, other, allowed, f"{what}: {item.name.replace('_', ' ')}")
        else:
            require_true(one is other, f"{what}: {item.name} is missing in one of them")
