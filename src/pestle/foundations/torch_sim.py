"""Provide a torch-sim model of any `Foundation`, for batched relaxation and molecular dynamics.

It is written for torch-sim 0.3. The states of that version have one `pbc` flag for all systems,
lattice vectors in columns, and no charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch_sim as ts
from ase import Atoms
from ase.data import chemical_symbols
from torch_sim.models.interface import ModelInterface
from torch_sim.typing import StateDict

from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.calculator import CHARGE_KEYS, SPIN_KEYS, info_of
from pestle.foundations.interface import Foundation
from pestle.foundations.torch_sim_systems import Systems
from pestle.structures.frame import Frame
from pestle.structures.graphs import collate, make_graphs
from pestle.structures.neighbour_lists import NeighbourLists

#: Number of neighbours of an atom that no real solid reaches: diamond has 160 within 6 Å.
MAX_NEIGHBOURS = 5_000
#: Largest difference in eV/atom of two predictions of the same structure in float32.
ROUNDING = 1e-5


def torch_sim_model(
    model: Foundation | str | Path, *, head: str | None = None, trust: bool = False
) -> FoundationModel:
    """Make a torch-sim model of a foundation, for batched relaxation and molecular dynamics.

    >>> import torch_sim as ts
    >>> model = pestle.torch_sim_model("runs/mine")
    >>> ts.optimize(system=structures, model=model, optimizer=ts.Optimizer.fire)

    `FoundationModel` takes further options.

    Args:
        model: what `pestle.load` takes, or a model that it gave; its device and dtype are also
            those of the states.
        head: name of the head that predicts, as for `Foundation.head_index`.
        trust: whether a `.model` file may be unpickled, as for `pestle.load`.

    Raises:
        PestleError: there is no such model or head, or no head was named and several are possible.
    """
    if not isinstance(model, Foundation):
        model = load_foundation(model, trust=trust)
    return FoundationModel(model, head)


class FoundationModel(ModelInterface):
    """This torch-sim model predicts with one head of a foundation.

    Called with a state of n systems it returns

    - `energy` [n_systems] eV: total energies in *float64 whatever the dtype of the state*, because
      all-electron total energies exceed the precision of float32;
    - `forces` [n_atoms, 3] eV/Å and `stress` [n_systems, 3, 3] eV/Å³ (ASE's sign convention, zero
      without periodic boundaries), in the dtype of the state.

    A system is lost if its positions, cell or prediction are no longer finite, or if it has
    collapsed, so that its atoms have more than `max_neighbours` neighbours on average. A lost
    system gets the energy NaN and zero forces and stress. It then stands still while the other
    systems go on. This is necessary because the neighbours of a collapsed system would fill the
    memory, torch-sim cannot be stopped between two steps, and it does not always accept NaN in a
    cell.

    torch-sim's optimizers and integrators do not pass on a charge. Therefore all systems have the
    same charge and spin, unless the state itself has `charge` or `spin` [n_systems].

    Args:
        foundation: the model; it is copied, because derivatives with respect to the weights are
            switched off here. Its device and dtype are also those of the states.
        head: name of the head that predicts, as for `Foundation.head_index`.
        charge: total charge of every system, in e.
        spin: spin multiplicity of every system.
        max_neighbours: mean number of neighbours above which a crystal counts as collapsed.
        compute_stress: whether to compute the stress.

    Raises:
        PestleError: there is no such head, or no name was given and several heads are possible.
    """

    def __init__(
        self,
        foundation: Foundation,
        head: str | None = None,
        *,
        charge: float = 0.0,
        spin: float = 1.0,
        max_neighbours: float = MAX_NEIGHBOURS,
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        self._row = foundation.head_index(head)
        self.foundation = foundation.copy().requires_grad_(False)
        self.charge, self.spin = float(charge), float(spin)
        self.max_neighbours = float(max_neighbours)
        self._compute_stress, self._compute_forces = compute_stress, True
        self._neighbours = NeighbourLists(foundation.cutoff)

    # -- what torch-sim asks --------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        """Return the device that holds the network."""
        return self.foundation.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the network."""
        return self.foundation.dtype

    @property
    def head(self) -> str:
        """Return the name of the head that predicts."""
        return self.foundation.heads[self._row]

    @property
    def compute_stress(self) -> bool:
        """Return whether the stress is computed."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        self._compute_stress = wanted

    @property
    def compute_forces(self) -> bool:
        """Return whether the forces are given."""
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, wanted: bool) -> None:
        self._compute_forces = wanted

    def forward(self, state: ts.SimState | StateDict, **kwargs: object) -> dict[str, torch.Tensor]:
        """Predict the energies, forces and stresses of a state.

        Args:
            state: the systems, as a state or as the dictionary of its fields; not changed.
            kwargs: not used.

        Returns:
            `energy`, `forces` and `stress` with the shapes and units given above.

        Raises:
            PestleError: the model does not know an element, or a periodic system has no volume; the
                error gives the number of the system in the state.
        """
        if isinstance(state, dict):
            state = ts.SimState(**{"masses": torch.ones_like(state["positions"][:, 0]), **state})
        foundation, systems = self.foundation, self._systems(state)
        collapsed = systems.collapsed(foundation.cutoff, self.max_neighbours)
        systems.drawn_apart(collapsed, foundation.cutoff)
        graphs = systems.graphs(self._neighbours, foundation.dtype).with_head(self._row)
        prediction = foundation.predict(
            graphs.to(foundation.device), stress=self.compute_stress and bool(state.pbc)
        )
        energy, forces = prediction.energy.to(state.device), prediction.forces.to(state.positions)
        stress = torch.zeros_like(state.cell)
        if prediction.stress is not None:
            stress = prediction.stress.to(state.positions)
        lost = ~(energy.isfinite() & stress.flatten(1).isfinite().all(dim=1))
        lost |= torch.from_numpy(collapsed).to(lost.device)
        lost[state.system_idx[~forces.isfinite().all(dim=1)]] = True
        energy[lost], stress[lost], forces[lost[state.system_idx]] = torch.nan, 0.0, 0.0
        results = {"energy": energy}
        if self.compute_forces:
            results["forces"] = forces
        if self.compute_stress:
            results["stress"] = stress
        return results

    # -- states ---------------------------------------------------------------------------------
    def state(self, structures: Sequence[Atoms] | Sequence[Frame]) -> ts.SimState:
        """Make the state in which a simulation of these structures starts, with atoms at rest.

        It differs from torch-sim's own conversion in three points. It does not take a slab for a
        molecule, and it does not drop constraints: both are errors. A left-handed cell is replaced
        by a right-handed one of the same lattice, because torch-sim's volumes have a sign, and its
        cell filters would pull where they should push. Elements, charge and spin are checked
        against the model.

        Args:
            structures: all periodic in three directions, or none periodic in any direction.

        Raises:
            PestleError: torch-sim or the model cannot simulate a structure.
        """
        frames = [
            s if isinstance(s, Frame) else _frame(s, index=k) for k, s in enumerate(structures)
        ]
        if not frames:
            raise PestleError("there is no structure to simulate", where="structures")
        for frame in frames:
            _check_for_torch_sim(frame, frames[0], self.foundation.cutoff)
            self._check(frame.atoms, frame.where)
        self._check_charges(frames)
        return ts.io.atoms_to_state(
            [right_handed(f.atoms) for f in frames], self.device, self.dtype
        )

    # -- checks ---------------------------------------------------------------------------------
    def _systems(self, state: ts.SimState) -> Systems:
        """Take the systems from a state and check them."""
        systems = Systems.of(state, charge=self.charge, spin=self.spin)
        wrong = systems.any_of(~np.isin(systems.numbers, self.foundation.elements))
        wrong |= systems.pbc.all(axis=1) & (systems.volumes == 0.0)
        for k in np.flatnonzero(wrong).tolist():
            atoms = Atoms(systems.numbers[systems.part(k)], cell=systems.cells[k], pbc=state.pbc)
            self._check(atoms, f"system {k}")
        return systems

    def _check(self, atoms: Atoms, where: str) -> None:
        """Raise a `PestleError` unless the model can predict these atoms."""
        unknown = sorted(set(atoms.numbers.tolist()) - set(self.foundation.elements))
        if unknown:
            symbols = ", ".join(chemical_symbols[z] for z in unknown)
            raise PestleError(
                f"{self.foundation.provenance.name} does not know {symbols}",
                where=where,
                fix="Choose a model whose elements cover the structures (see `pestle models`).",
            )
        if atoms.pbc.all() and atoms.cell.volume == 0.0:
            raise PestleError(
                "it is periodic, but its cell has no volume",
                where=where,
                fix="Give it a cell, or set pbc to False.",
            )

    def _check_charges(self, frames: Sequence[Frame]) -> None:
        """Raise a `PestleError` if the model reads a charge or spin that the state would lose."""
        foundation, made_for = self.foundation, (self.charge, self.spin)
        known = {made_for}
        for frame in frames:
            charge = self.charge if frame.charge is None else frame.charge
            spin = self.spin if frame.spin is None else frame.spin
            if (charge, spin) in known:
                continue
            known.add((charge, spin))
            twice = [replace(frame, charge=c, spin=s) for c, s in ((charge, spin), made_for)]
            graphs = collate(make_graphs(twice, foundation.cutoff, dtype=foundation.dtype))
            graphs = graphs.with_head(self._row).to(foundation.device)
            own, lost = foundation.predict(graphs).interaction_energy.tolist()
            if abs(own - lost) <= ROUNDING * len(frame):  # the model reads neither charge nor spin
                continue
            raise PestleError(
                f"it has charge {charge:g} and spin multiplicity {spin:g}, but torch-sim's states "
                f"hold neither, and the model was made for {self.charge:g} and {self.spin:g}",
                where=frame.where,
                fix=f"Simulate it with FoundationModel(…, charge={charge:g}, spin={spin:g}).",
            )


def right_handed(atoms: Atoms) -> Atoms:
    """Return the same atoms in a right-handed cell, one with a positive determinant.

    The lattice vectors -a, -b, -c span the same lattice as a, b, c. Atoms that are not periodic in
    all directions are returned as they are.
    """
    if not atoms.pbc.all() or np.linalg.det(atoms.cell.array) > 0:
        return atoms
    turned = atoms.copy()
    turned.set_cell(-atoms.cell.array)
    return turned


def _frame(atoms: Atoms, index: int) -> Frame:
    """Make a frame with the charge and spin that `FoundationCalculator` would read."""
    charge, spin = info_of(atoms, CHARGE_KEYS), info_of(atoms, SPIN_KEYS)
    return Frame(atoms, charge=charge, spin=spin, source="structures", index=index)


def _check_for_torch_sim(frame: Frame, first: Frame, cutoff: float) -> None:
    """Raise a `PestleError` if a state of torch-sim cannot hold this frame."""
    pbc = frame.atoms.pbc
    if pbc.any() and not pbc.all():
        raise PestleError(
            "it is periodic in some directions only, which torch-sim does not know",
            where=frame.where,
            fix=f"Give it more than {cutoff:g} Å of vacuum along the others, and pbc=True.",
        )
    if pbc.all() != first.atoms.pbc.all():
        raise PestleError(
            f"either it or {first.where} is periodic, and the other is not; all systems of a "
            "torch-sim state are, or none is",
            where=frame.where,
            fix="Simulate molecules and crystals apart, or put the molecules into periodic cells "
            f"with more than {cutoff:g} Å of vacuum.",
        )
    if frame.atoms.constraints:
        raise PestleError(
            "it has constraints, which torch-sim does not keep",
            where=frame.where,
            fix="Remove them with atoms.set_constraint(), or simulate it with ASE.",
        )
    if not len(frame.atoms):
        raise PestleError("it has no atoms", where=frame.where)
