"""Provide what all backends share: E0s kept apart from a network, and derivatives of its energy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.foundations import safe_files
from pestle.foundations.interface import Foundation, Prediction, Provenance
from pestle.structures.graphs import GraphBatch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class NetworkFoundation(Foundation):
    """This class makes a foundation of a torch network that gives interaction energies.

    The reference energies (E0s) are kept apart from the network and stay in float64 whatever the
    network's dtype. An architecture has to write four things: the energies of a batch
    (`interaction`), its `cutoff`, a description of the network without its weights (`description`),
    and how a network is made from this description (`build`).

    Args:
        network: the network; it is used itself, not a copy.
        elements: atomic numbers in the network's order.
        heads: names of the heads in the network's order.
        e0s: [n_heads, n_elements] eV, float64.
        provenance: where the model comes from.

    Raises:
        PestleError: the table of E0s does not fit the numbers of heads and elements.
    """

    network: Any
    e0s: torch.Tensor
    _column: torch.Tensor

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        elements: Sequence[int],
        heads: Sequence[str],
        e0s: torch.Tensor,
        provenance: Provenance,
    ) -> None:
        super().__init__()
        if tuple(e0s.shape) != (len(heads), len(elements)):
            raise PestleError(
                f"the E0 table has shape {tuple(e0s.shape)}, but the model has {len(heads)} heads "
                f"and {len(elements)} elements"
            )
        self._elements, self._heads = tuple(elements), tuple(heads)
        self.register_buffer("e0s", e0s.double())
        index = torch.full((len(chemical_symbols) + 1,), -1, dtype=torch.int64)
        index[list(self._elements)] = torch.arange(len(self._elements))
        self.register_buffer("_column", index.to(e0s.device), persistent=False)
        self.provenance = provenance
        self.network = network

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        kept = self.e0s
        super()._apply(fn, recurse)
        self.e0s = kept.to(self.e0s.device)  # moved to the device, but kept in float64
        return self

    # -- what a backend has to write ------------------------------------------------------------
    @abstractmethod
    def interaction(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
        *,
        training: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the interaction energies of a batch, in the network's dtype.

        Args:
            graphs: the batch; use `positions` and `cell` below in place of its own.
            columns: [n_atoms] index of each atom's element in `elements`.
            positions: [n_atoms, 3] Å; forces are derivatives with respect to these.
            cell: [n_graphs, 3, 3] Å, lattice vectors in rows.
            training: whether the derivatives will be differentiated again.

        Returns:
            The energies of the graphs [n_graphs] eV and those of the atoms [n_atoms] eV.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Describe the network without its weights, as data that JSON can hold."""

    @classmethod
    @abstractmethod
    def build(cls, model: safe_files.SafeModel) -> torch.nn.Module:
        """Make a network of the shape that `description` gave; its weights may have any value.

        Args:
            model: the content of a model folder. It may come from anybody: check every entry before
                it is used.

        Raises:
            KeyError, TypeError, ValueError: an entry is missing or wrong; the caller makes a
                `PestleError` of it.
        """

    # -- what it covers -------------------------------------------------------------------------
    @property
    def elements(self) -> tuple[int, ...]:
        return self._elements

    @property
    def heads(self) -> tuple[str, ...]:
        return self._heads

    # -- what it predicts -----------------------------------------------------------------------
    def columns(self, graphs: GraphBatch) -> torch.Tensor:
        """Find the element of every atom in the model's list.

        Args:
            graphs: the batch.

        Returns:
            [n_atoms] index of each atom's element in `elements`.

        Raises:
            PestleError: the model does not know an element; the error names it and the frame.
        """
        columns = self._column[graphs.numbers]
        if bool((columns < 0).any()):
            atom = int(torch.nonzero(columns < 0)[0])
            symbol = chemical_symbols[int(graphs.numbers[atom])]
            frame = int(graphs.frame[graphs.batch[atom]])
            raise PestleError(
                f"{self.provenance.name} does not know {symbol}",
                where=f"frame {frame}",
                fix="Choose a foundation whose elements cover the data (see `pestle models`).",
            )
        return columns

    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        columns, dtype = self.columns(graphs), self.dtype
        with torch.enable_grad():
            positions = graphs.positions.detach().to(dtype, copy=True).requires_grad_(True)
            placed, cell = positions, graphs.cell.detach().to(dtype)
            wanted = [positions]
            if stress:
                # A symmetric strain deforms positions and cells together. The derivative of the
                # energy with respect to it, divided by the volume, is the stress.
                strain = positions.new_zeros(graphs.n_graphs, 3, 3).requires_grad_(True)
                symmetric = 0.5 * (strain + strain.transpose(1, 2))
                placed = positions + torch.einsum("ai,aij->aj", positions, symmetric[graphs.batch])
                cell = cell + cell @ symmetric
                wanted.append(strain)
            energy, node_energies = self.interaction(
                graphs, columns, placed, cell, training=training
            )
            gradients = _gradients(energy.sum(), wanted, training)
        prediction = Prediction(
            interaction_energy=energy,
            reference_energy=self._reference_sums(graphs, columns),
            node_energies=node_energies,
            forces=-gradients[0],
            stress=_stress(graphs, gradients[1]) if stress else None,
        )
        if not training:
            prediction.interaction_energy = energy.detach()
            prediction.node_energies = node_energies.detach()
            prediction.forces = prediction.forces.detach()
            if prediction.stress is not None:
                prediction.stress = prediction.stress.detach()
        return prediction

    def _reference_sums(self, graphs: GraphBatch, columns: torch.Tensor) -> torch.Tensor:
        """Sum the E0s of the atoms of every graph for its head, [n_graphs] eV, float64."""
        atoms = self.e0s[graphs.head[graphs.batch], columns]
        return atoms.new_zeros(graphs.n_graphs).index_add_(0, graphs.batch, atoms)

    # -- reference energies ---------------------------------------------------------------------
    @property
    def reference_energies(self) -> dict[str, dict[int, float]]:
        table = self.e0s.tolist()
        return {
            head: dict(zip(self._elements, table[row], strict=True))
            for row, head in enumerate(self._heads)
        }

    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> Self:
        row, table = self.head_index(head), self.e0s.detach().clone()
        for z, energy in e0s.items():
            if int(z) not in self._elements:
                raise PestleError(
                    f"{self.provenance.name} does not know {_symbol(int(z))}", where="E0s"
                )
            table[row, self._elements.index(int(z))] = float(energy)
        changed = self.copy()
        changed.e0s = table
        return changed

    # -- parts of new models --------------------------------------------------------------------
    def columns_of(self, elements: Sequence[int]) -> list[int]:
        """Find these elements in the model's list.

        Args:
            elements: atomic numbers, in any order.

        Returns:
            Their indices in `elements`, in ascending order.

        Raises:
            PestleError: no element was given, or the model does not know one.
        """
        unknown = [_symbol(z) for z in elements if z not in self._elements]
        if unknown or not elements:
            raise PestleError(
                f"{self.provenance.name} does not know {', '.join(unknown)}"
                if unknown
                else "no element was asked for",
                where="elements",
            )
        return [k for k, z in enumerate(self._elements) if z in set(elements)]

    def rows_of(self, heads: Mapping[str, str]) -> list[int]:
        """Find the old heads from which new heads are made.

        Args:
            heads: name of each new head and the name of the old head that it copies.

        Returns:
            For each new head the index of its old head.

        Raises:
            PestleError: no head was given, or an old head does not exist.
        """
        if not heads:
            raise PestleError("no head was asked for", where="heads")
        return [self.head_index(old) for old in heads.values()]

    # -- files ----------------------------------------------------------------------------------
    def state(self) -> safe_files.SafeModel:
        """Return the whole model as plain data and tensors."""
        return safe_files.SafeModel(
            backend=self.backend,
            architecture=self.description(),
            elements=self.elements,
            heads=self.heads,
            e0s=self.e0s.cpu().tolist(),
            provenance=self.provenance,
            tensors={k: v.detach().cpu() for k, v in self.network.state_dict().items()},
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the SHA-256 of architecture, weights and E0s."""
        return safe_files.fingerprint(self.state())

    def save(self, folder: Path) -> None:
        safe_files.write(Path(folder), self.state())

    @classmethod
    def from_safe(cls, model: safe_files.SafeModel) -> Self:
        """Rebuild the model that `save` wrote.

        Args:
            model: the content of the model folder.

        Raises:
            PestleError: the description or the weights do not fit this architecture.
        """
        try:
            network = cls.build(model)
            # All weights of a file have the same precision, which is that of the model.
            kinds = {t.dtype for t in model.tensors.values() if t.is_floating_point()}
            if len(kinds) == 1:
                network = network.to(kinds.pop())
            network.load_state_dict(model.tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            raise PestleError(
                f"it cannot be rebuilt ({reason})", where=f"model folder of {model.provenance.name}"
            ) from error
        return cls(
            network,
            elements=model.elements,
            heads=model.heads,
            e0s=torch.tensor(model.e0s, dtype=torch.float64),
            provenance=model.provenance,
        )

    def calculator(self, *, head: str | None = None, dispersion: str | None = None) -> Calculator:
        from pestle.foundations.calculator import FoundationCalculator

        return FoundationCalculator(self, head=head, dispersion=dispersion)


def edge_vectors(graphs: GraphBatch, positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """Compute the vectors from sender to receiver of all edges.

    Args:
        graphs: the batch; its own positions and cells are not used.
        positions: [n_atoms, 3] Å.
        cell: [n_graphs, 3, 3] Å, lattice vectors in rows.

    Returns:
        [n_edges, 3] Å, in the dtype of `positions`.
    """
    sender, receiver = graphs.edge_index
    shifts = graphs.unit_shifts.to(positions.dtype)
    cells = cell.to(positions.dtype)[graphs.batch[sender]]
    return positions[receiver] - positions[sender] + torch.einsum("ei,eij->ej", shifts, cells)


def _symbol(z: int) -> str:
    """Return the chemical symbol of an atomic number, which may be invalid."""
    return chemical_symbols[z] if 0 < z < len(chemical_symbols) else f"element {z}"


def _gradients(
    energy: torch.Tensor, wanted: Sequence[torch.Tensor], training: bool
) -> list[torch.Tensor]:
    """Differentiate the total energy with respect to each wanted tensor.

    If a tensor has no influence on the energy (no edge in the whole batch), its gradient is zero,
    and these zeros can be differentiated again.

    Args:
        energy: scalar, the sum over the batch, in eV.
        wanted: the positions and, if the stress is needed, the strain.
        training: whether the gradients will be differentiated again.
    """
    if not energy.requires_grad:  # the batch has no edge, and no weight is trained
        return [torch.zeros_like(leaf) for leaf in wanted]
    found = torch.autograd.grad(energy, wanted, create_graph=training, allow_unused=True)
    return [
        torch.zeros_like(leaf) + 0.0 * energy if gradient is None else gradient
        for gradient, leaf in zip(found, wanted, strict=True)
    ]


def _stress(graphs: GraphBatch, gradient: torch.Tensor) -> torch.Tensor:
    """Divide the derivative of the energy with respect to the strain by the volume.

    Args:
        graphs: the batch, with its cells.
        gradient: [n_graphs, 3, 3] eV, dE/dε.

    Returns:
        [n_graphs, 3, 3] eV/Å³, exactly zero for structures that are not periodic.
    """
    periodic = graphs.periodic[:, None, None]
    regular = torch.eye(3, dtype=gradient.dtype, device=gradient.device)
    volume = torch.linalg.det(torch.where(periodic, graphs.cell.to(gradient), regular)).abs()
    return torch.where(periodic, gradient / volume[:, None, None], torch.zeros_like(gradient))
