"""Make a `Foundation` of a MACE network: prediction, reference energies, derived models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pestle.errors import PestleError
from pestle.foundations import safe_files
from pestle.foundations.capabilities import (
    Adapters,
    Descriptors,
    ElementSelection,
    Heads,
    Kernels,
    LammpsFiles,
    LinearLayer,
    OwnFile,
    Parts,
    RandomWeights,
)
from pestle.foundations.interface import Prediction, Provenance
from pestle.foundations.mace import (
    architecture,
    exporting,
    lammps,
    long_range,
    parts,
    sizes,
    surgery,
)
from pestle.foundations.mace.copies import clone
from pestle.foundations.mace.kernels import kernels
from pestle.foundations.mace.runtime import Network, default_dtype, o3
from pestle.foundations.network_foundation import NetworkFoundation
from pestle.structures.graphs import GraphBatch

#: Inputs of mace's joint embedding that a GraphBatch can give.
EMBEDDABLE = ("total_charge", "total_spin")


class MaceFoundation(
    NetworkFoundation,
    Adapters,
    Parts,
    Heads,
    ElementSelection,
    RandomWeights,
    Descriptors,
    OwnFile,
    LammpsFiles,
    Kernels,
):
    """This class makes a foundation of a MACE network.

    The E0s inside the network are set to zero, so that the energy it returns *is* the interaction
    energy. The foundation keeps the E0s in float64 whatever the network's dtype.

    Args:
        network: an energy model of mace; it is used itself, not a copy, and changed as above.
        provenance: where the model comes from.
        e0s: [n_heads, n_elements] eV, float64; `None` means those of the network.

    Raises:
        PestleError: the network has a part that Pestle does not know, or reads something besides
            charge and spin.
    """

    backend = "mace"
    own_format = ".model"
    own_calculator = ("mace.calculators", "MACECalculator", "model_paths")
    lammps_formats = lammps.FORMATS
    kernel_names = ("pestle", "mace", "cuequivariance")
    network: Network

    def __init__(
        self,
        network: Network,
        *,
        provenance: Provenance,
        e0s: torch.Tensor | None = None,
    ) -> None:
        description = architecture.describe(network)
        own = network.atomic_energies_fn.atomic_energies
        if e0s is None:
            e0s = torch.atleast_2d(own.detach()).double().cpu().clone()
        super().__init__(
            network,
            elements=description["atomic_numbers"],
            heads=description["heads"],
            e0s=e0s.to(own.device),
            provenance=provenance,
        )
        specs = description["embedding_specs"] or {}
        unknown = [name for name in specs if name not in EMBEDDABLE]
        if unknown:
            raise architecture.unsupported(f"it embeds {', '.join(unknown)}")
        network.atomic_energies_fn.atomic_energies = torch.zeros(
            *e0s.shape, dtype=next(network.parameters()).dtype, device=own.device
        )
        network.heads = list(description["heads"])
        self.use_kernels("auto")

    # -- what it covers -------------------------------------------------------------------------
    @property
    def embeds(self) -> tuple[str, ...]:
        told = getattr(self.network, "embedding_specs", None) or {}
        if long_range.is_polar(self.network):
            told = EMBEDDABLE
        return tuple(name.removeprefix("total_") for name in EMBEDDABLE if name in told)

    @property
    def cutoff(self) -> float:
        return float(self.network.r_max)

    # -- what it predicts -----------------------------------------------------------------------
    def use_kernels(self, name: str) -> None:
        super().use_kernels(name)
        self._kernels = kernels(name, self.network)

    @property
    def arithmetic(self) -> str:
        return self._kernels.description

    def _inputs(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Make the dictionary that a mace network reads; mace may change its entries.

        Args:
            graphs: the batch; no tensor that mace changes is shared with it.
            columns: [n_atoms] index of each atom's element in `elements`.
            positions: [n_atoms, 3] Å.
            cell: [n_graphs, 3, 3] Å, lattice vectors in rows.
        """
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

    def interaction(
        self,
        graphs: GraphBatch,
        columns: torch.Tensor,
        positions: torch.Tensor,
        cell: torch.Tensor,
        *,
        training: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        data = self._inputs(graphs, columns, positions, cell)
        out = self._kernels.run(data, columns, training=training)
        return out["energy"], out["node_energy"].to(self.dtype) + self._embedding_energies(data)

    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        with default_dtype(self.dtype):  # mace makes some tensors in the default dtype
            return super().predict(graphs, training=training, stress=stress)

    def _embedding_energies(self, data: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
        """Compute the energies [n_atoms] in eV that are read from the embedding.

        Some networks have such a readout. mace counts it in the energy of the graph, but not in
        those of the atoms.
        """
        if not hasattr(self.network, "embedding_readout"):
            return 0.0
        features = {name: data[name] for name in self.network.embedding_specs}
        embedded = self.network.node_embedding(data["node_attrs"])
        embedded = embedded + self.network.joint_embedding(data["batch"], features)
        heads = data["head"][data["batch"]]
        by_head = self.network.embedding_readout(embedded, heads)
        return by_head.gather(1, heads[:, None]).squeeze(1)

    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        columns = self.columns(graphs)
        with torch.no_grad(), default_dtype(self.dtype):
            positions = graphs.positions.to(self.dtype, copy=True)
            data = self._inputs(graphs, columns, positions, graphs.cell.to(self.dtype))
            features = self._kernels.run(data, columns, training=False)["node_feats"]
        return torch.cat([features[:, part] for part in self._invariant_parts()], dim=1)

    def _invariant_parts(self) -> list[slice]:
        """Return where the scalars of each layer stand in the concatenated features of an atom."""
        found, start = [], 0
        for product in self.network.products:
            irreps = o3.Irreps(str(product.linear.irreps_out))
            for (_, irrep), part in zip(irreps, irreps.slices(), strict=True):
                if irrep.is_scalar():
                    found.append(slice(start + part.start, start + part.stop))
            start += irreps.dim
        return found

    # -- its parts ------------------------------------------------------------------------------
    def parameter_groups(self) -> dict[str, list[str]]:
        return parts.parameter_groups(self.network, prefix="network.")

    def linear_layers(self) -> list[LinearLayer]:
        return parts.linear_layers(self.network, prefix="network.")

    # -- new models from it ---------------------------------------------------------------------
    def _with(self, network: Network, e0s: torch.Tensor | None = None) -> MaceFoundation:
        """Make a model of another network, with this model's provenance and kernels."""
        e0s = self.e0s.detach().clone() if e0s is None else e0s
        made = MaceFoundation(network, provenance=self.provenance, e0s=e0s)
        made.use_kernels(self.kernels)
        return made.to(self.device)

    def copy(self) -> MaceFoundation:
        return self._with(clone(self.network))

    def with_elements(self, elements: Sequence[int]) -> MaceFoundation:
        columns = self.columns_of(elements)
        return self._with(
            surgery.select_elements(self.network, columns), self.e0s[:, columns].clone()
        )

    def with_heads(self, heads: Mapping[str, str]) -> MaceFoundation:
        rows = self.rows_of(heads)
        return self._with(
            surgery.select_heads(self.network, list(heads), rows), self.e0s[rows].clone()
        )

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
        if description["class"] == "MACE":  # the class MACE has no scale that could be set
            description["class"] = "ScaleShiftMACE"
        return self._with(architecture.build(description, seed=seed))

    # -- files ----------------------------------------------------------------------------------
    def description(self) -> dict[str, Any]:
        return architecture.describe(self.network)

    def export(self, path: Path, *, head: str | None = None) -> None:
        exporting.write(exporting.with_default_head(self, head), Path(path))

    def export_lammps(self, files: Mapping[str, Path], *, head: str | None = None) -> None:
        lammps.require_supported(self)
        lammps.write(exporting.single_head(self, head), files)

    @classmethod
    def build(cls, model: safe_files.SafeModel) -> Network:
        described = model.architecture
        own = {"atomic_numbers": list(model.elements), "heads": list(model.heads)}
        if any(described.get(name) != value for name, value in own.items()):
            raise PestleError(
                "its elements or heads are not those of its architecture, in the same order",
                where=f"architecture.json of {model.provenance.name}",
            )
        sizes.require_sizes(described, model.tensors)
        try:
            return architecture.build(described)
        except PestleError:
            raise
        except Exception as error:  # contradictory entries raise any kind of error in mace and e3nn
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise PestleError(
                f"it cannot be rebuilt ({reason})",
                where=f"architecture.json of {model.provenance.name}",
            ) from error

    @classmethod
    def from_safe(cls, model: safe_files.SafeModel) -> MaceFoundation:
        network = cls.build(model)
        architecture.load_tensors(network, model.tensors)
        e0s = torch.tensor(model.e0s, dtype=torch.float64)
        return cls(network, provenance=model.provenance, e0s=e0s)
