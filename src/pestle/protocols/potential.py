"""What a protocol may know of a model under test: energies, an ASE calculator, a torch-sim model.

Two kinds: a head of a foundation (or of its fine-tuned child), and any ASE calculator, whose
behaviour a test or a user may know beforehand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.structures.frame import Frame

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from torch_sim.models.interface import ModelInterface


class Potential(ABC):
    """A model under test.

    Attributes:
        name: what tables and plots call it.
        fingerprint: the same where the predictions are the same.
        elements: atomic numbers that it knows; `None` where nobody can tell.
        reference_energies: atomic number → E0 in eV; `None` where it has none.
        device: kind of device that it predicts on, `cpu` or `cuda`.
    """

    name: str
    fingerprint: str
    elements: tuple[int, ...] | None
    reference_energies: Mapping[int, float] | None = None
    device: str = "cpu"

    @abstractmethod
    def predict(
        self, frames: Sequence[Frame], on_progress: Callable[[int], None] | None = None
    ) -> list[FramePrediction]:
        """Energies, forces and, where periodic, stresses; NaN where the model gives none."""

    @abstractmethod
    def calculator(self) -> Calculator:
        """ASE calculator."""

    @abstractmethod
    def batched(self, charge: float = 0.0, spin: float = 1.0) -> ModelInterface:
        """torch-sim model: many structures at once, of one charge (e) and spin multiplicity."""


class ModelPotential(Potential):
    """One head of a foundation.

    Args:
        name: what tables and plots call it.
        model: predicts on its own device and in its own precision.
        head: its head; may be left out where there is one, or one called Default.
        max_edges: edges of a batch in `predict`; by default the model's `edges_at_once`.
    """

    def __init__(
        self,
        name: str,
        model: Foundation,
        head: str | None = None,
        *,
        max_edges: int | None = None,
    ) -> None:
        self.name, self.model, self.max_edges = name, model, max_edges
        self.head = model.heads[model.head_index(head)]
        self.fingerprint = f"{model.fingerprint()}:{self.head}"
        self.elements = model.elements
        self.reference_energies = model.reference_energies[self.head]
        self.device = model.device.type

    def predict(
        self, frames: Sequence[Frame], on_progress: Callable[[int], None] | None = None
    ) -> list[FramePrediction]:
        return predict_frames(
            self.model, frames, head=self.head, max_edges=self.max_edges, on_progress=on_progress
        )

    def calculator(self) -> Calculator:
        return self.model.calculator(head=self.head)

    def batched(self, charge: float = 0.0, spin: float = 1.0) -> ModelInterface:
        from pestle.foundations.torch_sim import FoundationModel

        return FoundationModel(self.model, self.head, charge=charge, spin=spin)


class CalculatorPotential(Potential):
    """An ASE calculator, one structure at a time.

    Args:
        name: what tables and plots call it.
        make: gives a new calculator.
        fingerprint: changes when the calculator does.
        elements: atomic numbers that it knows, if that is known.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Calculator],
        *,
        fingerprint: str = "",
        elements: tuple[int, ...] | None = None,
    ) -> None:
        self.name, self._make = name, make
        self.fingerprint, self.elements = fingerprint or name, elements

    def predict(
        self, frames: Sequence[Frame], on_progress: Callable[[int], None] | None = None
    ) -> list[FramePrediction]:
        from pestle.labels.calculators import calculated

        calculator, found = self._make(), []
        for k, frame in enumerate(frames):
            energy, forces, stress = calculated(calculator, frame)
            total = np.nan if energy is None else energy
            lost = np.full((len(frame), 3), np.nan)
            found.append(FramePrediction(total, total, lost if forces is None else forces, stress))
            if on_progress is not None:
                on_progress(k + 1)
        return found

    def calculator(self) -> Calculator:
        return self._make()

    def batched(self, charge: float = 0.0, spin: float = 1.0) -> ModelInterface:
        from pestle.protocols.calculator_model import CalculatorModel

        return CalculatorModel(self, charge=charge, spin=spin)
