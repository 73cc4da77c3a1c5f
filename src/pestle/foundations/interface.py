"""The contract: what every model gives the rest of Pestle.

Every backend subclasses `Foundation`; what only some models can do (adapters, several heads, files
of their own programs) is in `capabilities`. A foundation is a `torch.nn.Module`: calling it on a
`GraphBatch` is `predict`, its parameters are what training moves. Total energies are split in two,
the interaction energy in the network's dtype and the reference sum ΣE0 in float64, because
all-electron totals (1e4 to 1e5 eV) do not fit single precision.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from ase import Atoms

from pestle.errors import PestleError, nearest
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


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
    """A pretrained interatomic potential, whatever its architecture.

    A subclass gives what is abstract here and sets `backend` and `provenance`; the rest follows
    from that and is overridden only where an architecture knows better.
    `network_foundation.NetworkFoundation` gives most of it for a torch network, and
    `pestle.testing.check_foundation` tells whether a model keeps the contract.
    """

    #: Name of the backend in architecture.json.
    backend: str
    #: Edges that a GPU may predict at once where nobody says: a few gigabytes of memory.
    batch_edges: int = 100_000
    provenance: Provenance

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
    def dtype(self) -> torch.dtype:
        """dtype of the network."""
        return next(self.parameters()).dtype

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
        """Functional and data that the model was trained on."""
        return self.provenance.level_of_theory

    @property
    def edges_at_once(self) -> int:
        """Edges that are predicted at once where nobody says: `batch_edges`, on a CPU
        `CPU_BATCH_EDGES` at most."""
        on_cpu = self.device.type == "cpu"
        return min(self.batch_edges, CPU_BATCH_EDGES) if on_cpu else self.batch_edges

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
        """`predict`, as torch calls it."""
        return self.predict(graphs, training=training, stress=stress)

    @abstractmethod
    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        """Energies and forces of a batch on the model's device and in its dtype.

        Args:
            graphs: structures, each with the index of its head; not changed.
            training: keep the graph, so that forces and stress can be differentiated again.
            stress: also give the stress.

        Raises:
            PestleError: an element that the model does not know, with the frame's number.
        """

    # -- reference energies ---------------------------------------------------------------------
    @property
    @abstractmethod
    def reference_energies(self) -> dict[str, dict[int, float]]:
        """E0s in eV: head → atomic number → energy (float64)."""

    @abstractmethod
    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> Self:
        """A copy in which one head has these E0s (eV); elements that are not named keep theirs.

        Raises:
            PestleError: no such head, or an element that the model does not know.
        """

    def isolated_atom_energies(self, head: str | None = None) -> dict[int, float]:
        """What a single atom really gives, atomic number → eV: its E0 plus what the network adds.

        Raises:
            PestleError: there is no such head, or none was named where it could be several.
        """
        row = self.head_index(head)
        atoms = [Frame(Atoms(numbers=[z])) for z in self.elements]
        graphs = collate(make_graphs(atoms, self.cutoff, dtype=self.dtype)).with_head(row)
        energies = self.predict(graphs.to(self.device)).energy.tolist()
        return dict(zip(self.elements, energies, strict=True))

    @property
    def needs_double(self) -> bool:
        """Whether float32 is too coarse for total energies with these E0s (all-electron ones)."""
        largest = max(abs(e) for e0s in self.reference_energies.values() for e in e0s.values())
        return largest * FLOAT32_SPACING > EXPORT_ROUNDING

    # -- new models from it (the foundation itself is never changed) ----------------------------
    def copy(self) -> Self:
        """An independent copy, weights included."""
        return copy.deepcopy(self)

    def with_dtype(self, dtype: torch.dtype) -> Self:
        """A copy in another precision (E0s stay float64)."""
        return self.copy().to(dtype)

    # -- files ----------------------------------------------------------------------------------
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of architecture, weights and E0s as they are now."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write architecture.json and weights.safetensors (no code in either), which
        `load_foundation` reads through the backend's `from_safe` (`backends.Backend`)."""

    @abstractmethod
    def calculator(self, *, head: str | None = None, dispersion: str | None = None) -> Calculator:
        """ASE calculator of this model (`calculator.FoundationCalculator`).

        Args:
            head: name of the head, needed where there are several.
            dispersion: functional whose D3 correction is added (`pbe`, `pbe-d3(zero)`), or
                `removed`: what was taken from the labels that the model was trained on.

        Raises:
            PestleError: the head or functional is unknown, or the model holds dispersion already.
        """
