"""Access of protocols to a model under test: energies, an ASE calculator, a torch-sim model.

A potential is a head of a foundation (or of a model fine-tuned from it), or any ASE calculator, for
example one with known behaviour.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch_sim as ts
from ase import Atoms
from torch_sim.models.interface import ModelInterface
from torch_sim.typing import StateDict

from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.structures.frame import Frame

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class Potential(ABC):
    """A model under test.

    Attributes:
        name: name in tables and plots.
        fingerprint: equal for models with equal predictions.
        elements: atomic numbers that the model knows; `None` if unknown.
        reference_energies: atomic number → E0 in eV; `None` if the model has none.
        device: kind of device on which it predicts, `cpu` or `cuda`.
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
        """Predict structures.

        Args:
            frames: the structures.
            on_progress: called with the number of predicted structures.

        Returns:
            For each structure energy (eV), forces [n_atoms, 3] (eV/Å) and, if it is periodic,
            stress [3, 3] (eV/Å³); NaN if the model gives none.
        """

    @abstractmethod
    def calculator(self) -> Calculator:
        """Return an ASE calculator."""

    @abstractmethod
    def batched(self, charge: float = 0.0, spin: float = 1.0) -> ModelInterface:
        """Return a torch-sim model that predicts many structures at once.

        Args:
            charge: total charge of every structure, e.
            spin: spin multiplicity of every structure.
        """


class ModelPotential(Potential):
    """One head of a foundation or fine-tuned model.

    Args:
        name: name in tables and plots.
        model: predicts on its own device and in its own precision.
        head: head of the model; not needed if there is only one, or one called Default.
        max_edges: largest number of edges in a batch of `predict`; by default the model's
            `edges_at_once`.
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
    """An ASE calculator, used for one structure after the other.

    Args:
        name: name in tables and plots.
        make: returns a new calculator.
        fingerprint: text that changes if the calculator changes.
        elements: atomic numbers that the calculator knows; `None` if unknown.
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
        return CalculatorModel(self, charge=charge, spin=spin)


class CalculatorModel(ModelInterface):
    """A torch-sim model that uses an ASE calculator for one structure after the other.

    It calculates in float64 on the CPU.

    Args:
        potential: gives the calculator.
        charge, spin: total charge (e) and spin multiplicity of every structure, passed to the
            calculator in `atoms.info`.
    """

    def __init__(
        self, potential: CalculatorPotential, *, charge: float = 0.0, spin: float = 1.0
    ) -> None:
        super().__init__()
        self.potential, self.charge, self.spin = potential, charge, spin
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_stress = self._compute_forces = True

    def forward(self, state: ts.SimState | StateDict, **kwargs: object) -> dict[str, torch.Tensor]:
        """Predict the structures of a state.

        Args:
            state: structures in Å.

        Returns:
            `energy` [n_systems] eV, `forces` [n_atoms, 3] eV/Å, `stress` [n_systems, 3, 3] eV/Å³.
        """
        if isinstance(state, dict):
            state = ts.SimState(**{"masses": torch.ones_like(state["positions"][:, 0]), **state})
        frames = []
        for k, cell in enumerate(state.row_vector_cell.detach().double().cpu().numpy()):
            mine = (state.system_idx == k).cpu().numpy()
            atoms = Atoms(
                state.atomic_numbers.cpu().numpy()[mine],
                state.positions.detach().double().cpu().numpy()[mine],
                cell=cell,
                pbc=bool(state.pbc),
            )
            frames.append(Frame(atoms, charge=self.charge, spin=self.spin, source="state", index=k))
        said = self.potential.predict(frames)
        stress = [np.zeros((3, 3)) if p.stress is None else p.stress for p in said]
        return {
            "energy": torch.tensor([p.energy for p in said], dtype=torch.float64),
            "forces": torch.from_numpy(np.concatenate([p.forces for p in said])),
            "stress": torch.from_numpy(np.stack(stress)),
        }
