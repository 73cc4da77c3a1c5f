"""MACE as a `Foundation`: prediction, reference energies, derived models."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase import Atoms
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.foundations import safe_files
from pestle.foundations.interface import Foundation, LinearLayer, Prediction, Provenance
from pestle.foundations.mace import architecture, exporting, lammps, long_range, parts, surgery
from pestle.foundations.mace.runtime import EmptyParam, Network, default_dtype, o3
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

#: Inputs of a joint embedding that a GraphBatch carries.
EMBEDDABLE = ("total_charge", "total_spin")


class MaceFoundation(Foundation):
    """A MACE network with its reference energies kept apart.

    The network's own E0s are zero, so the energy it returns *is* the interaction energy. The E0s
    stay in float64 whatever the network's dtype.

    Args:
        network: a mace energy model; taken over, not copied.
        provenance: where it comes from.
        e0s: [n_heads, n_elements] eV, float64; by default those of the network.
    """

    backend = "mace"
    lammps_formats = lammps.FORMATS
    network: Network
    e0s: torch.Tensor
    _column: torch.Tensor

    def __init__(
        self,
        network: Network,
        *,
        provenance: Provenance,
        e0s: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        description = architecture.describe(network)
        n_heads, n_elements = len(description["heads"]), len(description["atomic_numbers"])
        own = network.atomic_energies_fn.atomic_energies
        if e0s is None:
            e0s = torch.atleast_2d(own.detach()).double().cpu().clone()
        if tuple(e0s.shape) != (n_heads, n_elements):
            raise PestleError(
                f"the E0 table has shape {tuple(e0s.shape)}, but the model has {n_heads} heads and "
                f"{n_elements} elements"
            )
        specs = description["embedding_specs"] or {}
        unknown = [name for name in specs if name not in EMBEDDABLE]
        if unknown:
            raise architecture.unsupported(f"it embeds {', '.join(unknown)}")
        network.atomic_energies_fn.atomic_energies = torch.zeros(
            n_heads, n_elements, dtype=next(network.parameters()).dtype, device=own.device
        )
        network.heads = list(description["heads"])
        self.network = network
        self._elements = tuple(description["atomic_numbers"])
        self._heads = tuple(description["heads"])
        self.register_buffer("e0s", e0s.to(own.device))
        index = torch.full((len(chemical_symbols) + 1,), -1, dtype=torch.int64)
        index[list(self._elements)] = torch.arange(n_elements)
        self.register_buffer("_column", index.to(own.device), persistent=False)
        self.provenance = provenance

    def _apply(self, fn: Any, recurse: bool = True) -> MaceFoundation:
        kept = self.e0s
        super()._apply(fn, recurse)
        self.e0s = kept.to(self.e0s.device)  # moved, never cast
        return self

    # -- what it covers -------------------------------------------------------------------------
    @property
    def elements(self) -> tuple[int, ...]:
        return self._elements

    @property
    def heads(self) -> tuple[str, ...]:
        return self._heads

    @property
    def cutoff(self) -> float:
        return float(self.network.r_max)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    # -- what it predicts -----------------------------------------------------------------------
    def columns(self, graphs: GraphBatch) -> torch.Tensor:
        """Position of every atom's element in the model, [n_atoms].

        Raises:
            PestleError: an element that the model does not know, with the frame's number.
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

    def _inputs(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """The dictionary that a mace network reads; nothing in it belongs to `graphs`."""
        dtype = self.dtype
        sender_graph = graphs.batch[graphs.edge_index[0]]
        unit_shifts = graphs.unit_shifts.to(dtype)
        data = {
            "node_attrs": torch.nn.functional.one_hot(columns, len(self._elements)).to(dtype),
            "positions": positions,
            "cell": cell.reshape(-1, 3),
            "unit_shifts": unit_shifts,
            "shifts": torch.einsum("ei,eij->ej", unit_shifts, cell[sender_graph]),
            "edge_index": graphs.edge_index,
            "batch": graphs.batch,
            "ptr": graphs.ptr,
            "head": graphs.head,
        }
        charge, spin = graphs.charge.to(dtype), graphs.spin.to(dtype)
        if hasattr(self.network, "joint_embedding"):
            data |= {"total_charge": charge, "total_spin": spin}
        return data | long_range.inputs(
            self.network, cell, graphs.periodic, positions, graphs.batch, charge, spin
        )

    def _run(
        self, data: dict[str, torch.Tensor], *, training: bool = False
    ) -> dict[str, torch.Tensor]:
        """The network's forward pass, without its own derivatives."""
        if not hasattr(self.network, "joint_embedding"):
            return self.network(data, training=training, compute_force=False)
        # mace adds the joint embedding in place. Compiled linear layers with fewer elements than
        # channels return a view of a leaf there, which autograd refuses to change.
        hook = self.network.node_embedding.register_forward_hook(lambda _m, _i, out: out.clone())
        try:
            return self.network(data, training=training, compute_force=False)
        finally:
            hook.remove()

    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        columns = self.columns(graphs)
        dtype = self.dtype
        with torch.enable_grad(), default_dtype(dtype):
            positions = graphs.positions.detach().to(dtype, copy=True).requires_grad_(True)
            placed, cell = positions, graphs.cell.detach().to(dtype)
            wanted = [positions]
            if stress:
                strain = positions.new_zeros(graphs.n_graphs, 3, 3).requires_grad_(True)
                symmetric = 0.5 * (strain + strain.transpose(1, 2))
                placed = positions + torch.einsum("ai,aij->aj", positions, symmetric[graphs.batch])
                cell = cell + cell @ symmetric
                wanted.append(strain)
            data = self._inputs(graphs, columns, placed, cell)
            out = self._run(data, training=training)
            energy = out["energy"]
            # Differentiated here, not by mace: an unused input (no edge in the whole batch) and
            # structures without a volume then give zeros that can be differentiated again.
            gradients = [
                torch.zeros_like(leaf) + 0.0 * energy.sum() if gradient is None else gradient
                for gradient, leaf in zip(
                    torch.autograd.grad(
                        energy.sum(), wanted, create_graph=training, allow_unused=True
                    ),
                    wanted,
                    strict=True,
                )
            ]
            node_energies = out["node_energy"].to(dtype) + self._embedding_energies(data)
        prediction = Prediction(
            interaction_energy=energy,
            reference_energy=self._reference_sums(graphs, columns),
            node_energies=node_energies,
            forces=-gradients[0],
            stress=self._stress(graphs, gradients[1]) if stress else None,
        )
        if not training:
            prediction.interaction_energy = energy.detach()
            prediction.node_energies = node_energies.detach()
            prediction.forces = prediction.forces.detach()
            if prediction.stress is not None:
                prediction.stress = prediction.stress.detach()
        return prediction

    def _stress(self, graphs: GraphBatch, gradient: torch.Tensor) -> torch.Tensor:
        """dE/dε over the volume, exactly zero for structures that have none."""
        periodic = graphs.periodic[:, None, None]
        regular = torch.eye(3, dtype=gradient.dtype, device=gradient.device)
        volume = torch.linalg.det(torch.where(periodic, graphs.cell.to(gradient), regular)).abs()
        return torch.where(periodic, gradient / volume[:, None, None], torch.zeros_like(gradient))

    def _embedding_energies(self, data: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
        """Energy per atom that some networks read from the embedding and leave out of theirs."""
        if not hasattr(self.network, "embedding_readout"):
            return 0.0
        features = {name: data[name] for name in self.network.embedding_specs}
        embedded = self.network.node_embedding(data["node_attrs"])
        embedded = embedded + self.network.joint_embedding(data["batch"], features)
        heads = data["head"][data["batch"]]
        by_head = self.network.embedding_readout(embedded, heads)
        return by_head.gather(1, heads[:, None]).squeeze(1)

    def _reference_sums(self, graphs: GraphBatch, columns: torch.Tensor) -> torch.Tensor:
        atoms = self.e0s[graphs.head[graphs.batch], columns]
        return atoms.new_zeros(graphs.n_graphs).index_add_(0, graphs.batch, atoms)

    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        columns = self.columns(graphs)
        with torch.no_grad(), default_dtype(self.dtype):
            positions = graphs.positions.to(self.dtype, copy=True)
            data = self._inputs(graphs, columns, positions, graphs.cell.to(self.dtype))
            features = self._run(data)["node_feats"]
        return torch.cat([features[:, part] for part in self._invariant_parts()], dim=1)

    def _invariant_parts(self) -> list[slice]:
        """Where the scalars of each layer lie in the concatenated node features."""
        found, start = [], 0
        for product in self.network.products:
            irreps = o3.Irreps(str(product.linear.irreps_out))
            for (_, irrep), part in zip(irreps, irreps.slices(), strict=True):
                if irrep.is_scalar():
                    found.append(slice(start + part.start, start + part.stop))
            start += irreps.dim
        return found

    # -- reference energies ---------------------------------------------------------------------
    @property
    def reference_energies(self) -> dict[str, dict[int, float]]:
        table = self.e0s.tolist()
        return {
            head: dict(zip(self._elements, table[row], strict=True))
            for row, head in enumerate(self._heads)
        }

    def isolated_atom_energies(self, head: str | None = None) -> dict[int, float]:
        row = self.head_index(head)
        atoms = [Frame(Atoms(numbers=[z])) for z in self._elements]
        graphs = collate(make_graphs(atoms, self.cutoff, dtype=self.dtype))
        energies = self.predict(graphs.with_head(row).to(self.device)).energy.tolist()
        return dict(zip(self._elements, energies, strict=True))

    # -- its parts ------------------------------------------------------------------------------
    def parameter_groups(self) -> dict[str, list[str]]:
        return parts.parameter_groups(self.network, prefix="network.")

    def linear_layers(self) -> list[LinearLayer]:
        return parts.linear_layers(self.network, prefix="network.")

    # -- new models from it ---------------------------------------------------------------------
    def _with(self, network: Network, e0s: torch.Tensor | None = None) -> MaceFoundation:
        """A model of another network with this one's provenance (and E0s unless given)."""
        e0s = self.e0s.detach().clone() if e0s is None else e0s
        made = MaceFoundation(network, provenance=self.provenance, e0s=e0s)
        return made.to(self.device)

    def copy(self) -> MaceFoundation:
        return self._with(clone(self.network))

    def with_elements(self, elements: Sequence[int]) -> MaceFoundation:
        unknown = [chemical_symbols[z] for z in elements if z not in self._elements]
        if unknown or not elements:
            raise PestleError(
                f"{self.provenance.name} does not know {', '.join(unknown)}"
                if unknown
                else "no element was asked for",
                where="elements",
            )
        columns = [k for k, z in enumerate(self._elements) if z in set(elements)]
        return self._with(
            surgery.select_elements(self.network, columns), self.e0s[:, columns].clone()
        )

    def with_heads(self, heads: Mapping[str, str]) -> MaceFoundation:
        if not heads:
            raise PestleError("no head was asked for", where="heads")
        rows = [self.head_index(old) for old in heads.values()]
        return self._with(
            surgery.select_heads(self.network, list(heads), rows), self.e0s[rows].clone()
        )

    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> MaceFoundation:
        row, table = self.head_index(head), self.e0s.detach().clone()
        for z, energy in e0s.items():
            if int(z) not in self._elements:
                raise PestleError(
                    f"{self.provenance.name} does not know {chemical_symbols[int(z)]}", where="E0s"
                )
            table[row, self._elements.index(int(z))] = float(energy)
        return self._with(clone(self.network), table)

    def with_dtype(self, dtype: torch.dtype) -> MaceFoundation:
        return self._with(clone(self.network).to(dtype))

    def with_random_weights(
        self, seed: int, *, mean_neighbours: float, scale: float
    ) -> MaceFoundation:
        description = architecture.describe(self.network)
        n_heads = len(self._heads)
        description |= {
            "distance_transform": "None",
            "trainable_radial": [
                name for name in description["trainable_radial"] if "transform" not in name
            ],
            "avg_num_neighbors": [float(mean_neighbours)] * description["num_interactions"],
            "scale": [float(scale)] * n_heads,
            "shift": [0.0] * n_heads,
        }
        if description["class"] == "MACE":  # the plain class has no scale to set
            description["class"] = "ScaleShiftMACE"
        return self._with(architecture.build(description, seed=seed))

    # -- files ----------------------------------------------------------------------------------
    def state(self) -> safe_files.SafeModel:
        """The whole model as plain data and tensors."""
        return safe_files.SafeModel(
            backend=self.backend,
            architecture=architecture.describe(self.network),
            elements=self._elements,
            heads=self._heads,
            e0s=self.e0s.cpu().tolist(),
            provenance=self.provenance,
            tensors={k: v.detach().cpu() for k, v in self.network.state_dict().items()},
        )

    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of architecture, weights and E0s."""
        return safe_files.fingerprint(self.state())

    def save(self, folder: Path) -> None:
        safe_files.write(Path(folder), self.state())

    def export(self, path: Path, *, head: str | None = None) -> None:
        exporting.export(self, Path(path), head=head)

    def export_lammps(self, files: Mapping[str, Path], *, head: str | None = None) -> None:
        lammps.export(self, files, head=head)

    def calculator(self, *, head: str | None = None) -> Calculator:
        from pestle.foundations.calculator import FoundationCalculator

        return FoundationCalculator(self, head=head)


def clone(network: Network) -> Network:
    """An independent copy of a network."""
    # mace's placeholder for paths that do not exist cannot be deep-copied.
    memo = {id(p): EmptyParam(p.data) for p in network.parameters() if isinstance(p, EmptyParam)}
    return copy.deepcopy(network, memo)


def from_safe(model: safe_files.SafeModel) -> MaceFoundation:
    """The foundation that `MaceFoundation.save` wrote."""
    network = architecture.build(model.architecture)
    architecture.load_tensors(network, model.tensors)
    e0s = torch.tensor(model.e0s, dtype=torch.float64)
    return MaceFoundation(network, provenance=model.provenance, e0s=e0s)
