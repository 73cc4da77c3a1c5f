"""What the rest of Pestle may know of a model.

Every backend subclasses `Foundation`. A foundation is a `torch.nn.Module`: calling it on a
`GraphBatch` is `predict`, its parameters are what training moves. Total energies are split in two,
the interaction energy in the network's dtype and the reference sum ΣE0 in float64, because
all-electron totals (1e4 to 1e5 eV) do not fit single precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from pestle.structures.graphs import GraphBatch


#: Name of the head that serves the target data in every fine-tuned model (FIELD conventions).
TARGET_HEAD = "Default"
#: Name of the head that replays what the foundation knows.
REPLAY_HEAD = "pt_head"
#: Single precision costs about this fraction of |E0| per atom, however many atoms there are.
FLOAT32_SPACING = 6e-8
#: eV/atom of rounding that an exported file may cost.
EXPORT_ROUNDING = 1e-5


@dataclass
class Prediction:
    """What a model says of a batch.

    Attributes:
        interaction_energy: [n_graphs] eV, network dtype: total energy minus reference sum.
        reference_energy: [n_graphs] eV, float64: sum of the E0s of the atoms for the graph's head.
        node_energies: [n_atoms] eV, the atoms' shares of the interaction energy.
        forces: [n_atoms, 3] eV/Å.
        stress: [n_graphs, 3, 3] eV/Å³ in ASE's sign, zero for graphs that are not periodic;
            `None` unless asked for.
    """

    interaction_energy: torch.Tensor
    reference_energy: torch.Tensor
    node_energies: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor | None = None

    @property
    def energy(self) -> torch.Tensor:
        """[n_graphs] total energy in eV, float64."""
        return self.interaction_energy.double() + self.reference_energy

    def split(self, batches: Sequence[GraphBatch]) -> list[Prediction]:
        """The predictions of the batches that this one was joined from, in their order."""
        graphs = [b.n_graphs for b in batches]
        atoms = [int(b.ptr[-1]) for b in batches]
        parts = zip(
            self.interaction_energy.split(graphs),
            self.reference_energy.split(graphs),
            self.node_energies.split(atoms),
            self.forces.split(atoms),
            [None] * len(graphs) if self.stress is None else self.stress.split(graphs),
            strict=True,
        )
        return [Prediction(*part) for part in parts]


@dataclass(frozen=True)
class LinearBlock:
    """One irrep block of a linear layer inside its flat weight.

    The weight that acts on features is `path_weight * flat[offset : offset + n_in * n_out]`, viewed
    as [n_in, n_out] (or [n_out, n_in] where `transposed`).
    """

    irrep: str
    n_in: int
    n_out: int
    offset: int
    path_weight: float
    transposed: bool = False


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer by the dotted name of its weight parameter, with its irrep blocks."""

    parameter: str
    kind: str  # "scalar" or "equivariant"
    blocks: tuple[LinearBlock, ...]


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; travels with it into every model made from it.

    Attributes:
        name, licence, level_of_theory: of the weights.
        notes: one line each.
        dispersion: whether the energies it was trained on hold dispersion: included, none, unknown.
        dispersion_removed: the correction that was taken from them before; empty for none.
    """

    name: str
    licence: str = "unknown"
    level_of_theory: str = "unknown"
    notes: tuple[str, ...] = field(default=())
    dispersion: str = "unknown"
    dispersion_removed: str = ""


#: Edges of a batch on a CPU: larger ones take more memory there and are no faster.
CPU_BATCH_EDGES = 10_000


class Foundation(torch.nn.Module, ABC):
    """A pretrained interatomic potential, whatever its architecture."""

    #: Name of the backend in architecture.json.
    backend: str
    #: How the names of files end that the architecture's own programs load.
    own_format: ClassVar[str]
    #: Module, class and argument by which ASE loads such a file.
    own_calculator: ClassVar[tuple[str, str, str]]
    #: Precision that those files are read in; `None` for that of the model.
    own_dtype: torch.dtype | None = None
    #: Edges that a GPU may predict at once where nobody says: a few gigabytes of memory.
    batch_edges: int = 100_000
    #: LAMMPS formats that the backend writes: name → how the names of their files end.
    lammps_formats: ClassVar[Mapping[str, str]] = {}
    #: Arithmetic that the network can run with, by the names of `train.kernels`.
    kernel_names: ClassVar[tuple[str, ...]] = ("pestle",)
    #: The one it runs with, as asked for.
    kernels: str = "auto"
    provenance: Provenance

    @property
    def edges_at_once(self) -> int:
        """Edges that are predicted at once where nobody says: `batch_edges`, on a CPU
        `CPU_BATCH_EDGES` at most."""
        on_cpu = self.device.type == "cpu"
        return min(self.batch_edges, CPU_BATCH_EDGES) if on_cpu else self.batch_edges

    # -- what it covers -------------------------------------------------------------------------
    @property
    @abstractmethod
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers the model knows, in the model's own order."""

    @property
    @abstractmethod
    def heads(self) -> tuple[str, ...]:
        """Names of the heads; several when one body serves several levels of theory."""

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Neighbour cutoff in Å."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """dtype of the network."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.parameters()).device

    @property
    def embeds(self) -> tuple[str, ...]:
        """What the network is told of a structure besides atoms and cell: `charge`, `spin`."""
        return ()

    @property
    def level_of_theory(self) -> str:
        return self.provenance.level_of_theory

    def head_index(self, head: str | None) -> int:
        """Index of a head by name; `None` means the only head, or the one called Default.

        Raises:
            PestleError: the name is unknown, or none was given where it could be several.
        """
        if head is None:
            if len(self.heads) == 1:
                return 0
            if TARGET_HEAD in self.heads:
                return self.heads.index(TARGET_HEAD)
            raise PestleError(
                f"{self.provenance.name} has {len(self.heads)} heads and none was named",
                where="head",
                fix=f"Choose one of {', '.join(self.heads)}, e.g. --set head={self.heads[0]}.",
            )
        if head not in self.heads:
            raise PestleError(
                f"{self.provenance.name} has no head '{head}'",
                where="head",
                fix=f"{nearest(head, self.heads)} Its heads are {', '.join(self.heads)}.".lstrip(),
            )
        return self.heads.index(head)

    # -- what it predicts -----------------------------------------------------------------------
    def forward(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        return self.predict(graphs, training=training, stress=stress)

    @abstractmethod
    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        """Energies and forces of a batch on the model's device and in its dtype.

        Args:
            graphs: structures, each with the index of its head.
            training: keep the graph, so that forces and stress can be differentiated again.
            stress: also give the stress.
        """

    def use_kernels(self, name: str) -> None:
        """Run with this arithmetic from now on; models made from this one do, too.

        Args:
            name: `auto`, or one of `kernel_names`.

        Raises:
            PestleError: the architecture has no such kernels, or a package they need is missing.
        """
        if name not in ("auto", *self.kernel_names):
            raise PestleError(
                f"{self.provenance.name} is a '{self.backend}' model and has no kernels '{name}'",
                where="train.kernels",
                fix=f"Use one of auto, {', '.join(self.kernel_names)}.",
            )
        self.kernels = name

    @property
    def arithmetic(self) -> str:
        """What the network runs with, as a clause."""
        return "Pestle's kernels"

    @abstractmethod
    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        """Invariant descriptors [n_atoms, d] of the atoms' environments."""

    # -- reference energies ---------------------------------------------------------------------
    @property
    @abstractmethod
    def reference_energies(self) -> dict[str, dict[int, float]]:
        """E0s in eV: head → atomic number → energy (float64)."""

    @abstractmethod
    def isolated_atom_energies(self, head: str | None = None) -> dict[int, float]:
        """What a single atom really gives, in eV: its E0 plus what the network adds to it."""

    @property
    def needs_double(self) -> bool:
        """Whether float32 is too coarse for total energies with these E0s (all-electron ones)."""
        largest = max(abs(e) for e0s in self.reference_energies.values() for e in e0s.values())
        return largest * FLOAT32_SPACING > EXPORT_ROUNDING

    # -- its parts ------------------------------------------------------------------------------
    @abstractmethod
    def parameter_groups(self) -> dict[str, list[str]]:
        """Parameter names by part, in the order of the forward pass: `embedding`,
        `interaction 1`, `product 1`, … , `readout 1`, …"""

    @abstractmethod
    def linear_layers(self) -> list[LinearLayer]:
        """Every linear layer (scalar and equivariant) with its irrep blocks."""

    # -- new models from it (the foundation itself is never changed) ----------------------------
    @abstractmethod
    def copy(self) -> Foundation:
        """An independent copy, weights included."""

    @abstractmethod
    def with_elements(self, elements: Sequence[int]) -> Foundation:
        """Cut down to these elements; predictions on them are unchanged."""

    @abstractmethod
    def with_heads(self, heads: Mapping[str, str]) -> Foundation:
        """Shared body with the heads new name → old name, each a copy of the old head's readout."""

    @abstractmethod
    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> Foundation:
        """E0s (eV) of one head replaced for the elements given; the others keep theirs."""

    @abstractmethod
    def with_dtype(self, dtype: torch.dtype) -> Foundation:
        """The same model in another precision (E0s stay float64)."""

    @abstractmethod
    def with_random_weights(self, seed: int, *, mean_neighbours: float, scale: float) -> Foundation:
        """The same shape from scratch: random weights, no distance transform (paper, appendix A).

        Args:
            seed: seed of the initialisation.
            mean_neighbours: mean number of neighbours in the training data.
            scale: scale of the interaction energy, the RMS force component in eV/Å.
        """

    # -- files ----------------------------------------------------------------------------------
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of architecture, weights and E0s as they are now."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write architecture.json and weights.safetensors (no code in either)."""

    @abstractmethod
    def export(self, path: Path, *, head: str | None = None) -> None:
        """Write the file that the architecture's own ASE calculator loads.

        Args:
            path: file to write.
            head: head to write alone; `None` means all of them.

        Raises:
            PestleError: `export_obstacle` says why.
        """

    def export_obstacle(self, *, head: str | None = None) -> str:
        """Why `export` cannot write this model, as a clause; empty where it can."""
        return ""

    def export_lammps(self, files: Mapping[str, Path], *, head: str | None = None) -> None:
        """Write files that LAMMPS loads, each checked against `predict`; all of them or none.

        Args:
            files: format, one of `lammps_formats`, → file to write.
            head: head to write; `None` means the only one, or the one called Default.

        Raises:
            PestleError: the backend or this model has no such file, or one fails its check.
        """
        raise PestleError(
            f"{self.provenance.name} is a '{self.backend}' model, which cannot be written for "
            "LAMMPS",
            where="--to lammps",
            fix="pestle.load(MODEL).calculator() runs it in ASE, and docs/export.md says how "
            "torch-sim does.",
        )

    @abstractmethod
    def calculator(self, *, head: str | None = None, dispersion: str | None = None) -> Calculator:
        """ASE calculator of this model.

        Args:
            head: name of the head, needed where there are several.
            dispersion: functional whose D3 correction is added (`pbe`, `pbe-d3(zero)`), or
                `removed`: what was taken from the labels that the model was trained on.

        Raises:
            PestleError: the head or functional is unknown, or the model holds dispersion already.
        """
