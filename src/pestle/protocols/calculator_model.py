"""torch-sim model over an ASE calculator: for potentials whose behaviour is known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch_sim as ts
from ase import Atoms
from torch_sim.models.interface import ModelInterface
from torch_sim.typing import StateDict

from pestle.structures.frame import Frame

if TYPE_CHECKING:
    from pestle.protocols.potential import CalculatorPotential


class CalculatorModel(ModelInterface):
    """Structures of a state one after the other, in float64 on the CPU.

    Args:
        potential: the calculator.
        charge, spin: of every structure; the calculator finds them in `atoms.info`.
    """

    def __init__(
        self, potential: CalculatorPotential, *, charge: float = 0.0, spin: float = 1.0
    ) -> None:
        super().__init__()
        self.potential, self.charge, self.spin = potential, charge, spin
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_stress = self._compute_forces = True

    def forward(self, state: ts.SimState | StateDict, **kwargs: object) -> dict[str, torch.Tensor]:
        """`energy` [n_systems], `forces` [n_atoms, 3], `stress` [n_systems, 3, 3], eV and Å."""
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
