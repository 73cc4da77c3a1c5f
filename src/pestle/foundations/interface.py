"""Define the contract: what every model gives the rest of Pestle.

Every backend subclasses `Foundation`. What only some models can do (adapters, several heads, files
of their own programs) is in `capabilities`. A foundation is a `torch.nn.Module`: calling it on a
`GraphBatch` is the same as `predict`, and training changes its parameters. A total energy has two
parts, the interaction energy in the network's dtype and the reference sum ΣE0 in float64, because
all-electron total energies (1e4 to 1e5 eV) exceed the precision of float32.
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
from ase.data import chemical_symbols

from pestle.errors import PestleError, nearest
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


#: Name of the head for the target data in every fine-tuned model, as mace-torch calls it.
TARGET_HEAD = "Default"
#: Name of the head for the replay data, which stand for what the foundation was trained on.
REPLAY_HEAD = "pt_head"
#: Relative rounding error of float32: per atom, a total energy is off by about this times |E0|.
FLOAT32_SPACING = 6e-8
#: Largest rounding error that an exported file may have, in eV/atom.
EXPORT_ROUNDING = 1e-5


@dataclass
class Prediction:
    """This class holds what a model predicts for a batch.

    Attributes:
        interaction_energy: [n_graphs] eV, total energy minus reference sum, in the network's dtype.
        reference_energy: [n_graphs] eV, float64, sum of the atoms' E0s for the head of the graph.
        node_energies: [n_atoms] eV, the atoms' shares of the interaction energy.
        forces: [n_atoms, 3] eV/Å.
        stress: [n_graphs, 3, 3] eV/Å³ with ASE's sign convention; zero for graphs that are not
            periodic, `None` unless it was asked for.
    """

    interaction_energy: torch.Tensor
    reference_energy: torch.Tensor
    node_energies: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor | None = None

    @property
    def energy(self) -> torch.Tensor:
        """Return the total energies [n_graphs] in eV, float64."""
        return self.interaction_energy.double() + self.reference_energy

    def split(self, batches: Sequence[GraphBatch]) -> list[Prediction]:
        """Split the prediction of a joined batch into those of the batches that were joined.

        Args:
            batches: the batches, in the order in which they were joined.
        """
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
    """This record says where a model comes from; models made from this model keep it.

    Attributes:
        name: name of the model.
        licence: licence of the weights.
        level_of_theory: functional and data that the model was trained on.
        notes: further remarks, one line each.
        dispersion: whether the training energies contain dispersion: `included`, `none` or
            `unknown`.
        dispersion_removed: the dispersion correction that was subtracted from the labels before
            training; empty if none was.
    """

    name: str
    licence: str = "unknown"
    level_of_theory: str = "unknown"
    notes: tuple[str, ...] = field(default=())
    dispersion: str = "unknown"
    dispersion_removed: str = ""


#: Largest number of edges in a batch on a CPU: larger batches need more memory and are no faster.
CPU_BATCH_EDGES = 10_000


#: A model that knows more elements says how many.
_ELEMENTS_SHOWN = 10


class Foundation(torch.nn.Module, ABC):
    """A foundation is a pretrained interatomic potential of any architecture.

    A subclass writes the abstract methods and sets `backend` and `provenance`. The other methods
    follow from these; an architecture overrides them only where it has a better way.
    `network_foundation.NetworkFoundation` already writes most of them for a torch network, and
    `pestle.testing.check_foundation` tests whether a model keeps the contract.
    """

    #: Name of the backend in architecture.json.
    backend: str
    #: Number of edges that a GPU predicts at once by default; this takes a few gigabytes.
    batch_edges: int = 100_000
    provenance: Provenance

    # -- what it covers -------------------------------------------------------------------------
    @property
    @abstractmethod
    def elements(self) -> tuple[int, ...]:
        """Return the atomic numbers that the model knows, in the model's own order."""

    @property
    @abstractmethod
    def heads(self) -> tuple[str, ...]:
        """Return the names of the heads.

        A model has several heads if one network body serves several levels of theory.
        """

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Return the distance in Å up to which atoms are neighbours."""

    def __repr__(self) -> str:
        """Return one line; torch would list every layer."""
        known = sorted(self.elements)
        elements = " ".join(chemical_symbols[z] for z in known[:_ELEMENTS_SHOWN])
        if len(known) > _ELEMENTS_SHOWN:
            elements = f"{len(known)} elements"
        heads = ", ".join(self.heads)
        return (
            f"<{self.provenance.name}: {self.backend}, {elements}, "
            f"{'head' if len(self.heads) == 1 else 'heads'} {heads}, "
            f"{str(self.dtype).removeprefix('torch.')}>"
        )

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the network."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Return the device that holds the network."""
        return next(self.parameters()).device

    @property
    def embeds(self) -> tuple[str, ...]:
        """Return which of `charge` and `spin` the network reads besides atoms and cell."""
        return ()

    @property
    def level_of_theory(self) -> str:
        """Return the functional and data that the model was trained on."""
        return self.provenance.level_of_theory

    @property
    def edges_at_once(self) -> int:
        """Return how many edges are predicted at once if the user does not say.

        This is `batch_edges`, and at most `CPU_BATCH_EDGES` on a CPU.
        """
        on_cpu = self.device.type == "cpu"
        return min(self.batch_edges, CPU_BATCH_EDGES) if on_cpu else self.batch_edges

    def head_index(self, head: str | None) -> int:
        """Find the index of a head by its name.

        Args:
            head: name of the head; `None` means the only head or, if there are several, the head
                called Default.

        Raises:
            PestleError: there is no such head, or no name was given and several heads are possible.
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
        """Call `predict`; torch calls this method when the model is called."""
        return self.predict(graphs, training=training, stress=stress)

    @abstractmethod
    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        """Predict the energies and forces of a batch.

        Args:
            graphs: structures on the model's device, each with the index of its head; not changed.
            training: keep the computational graph, so that forces and stress can be differentiated
                again with respect to the parameters.
            stress: also compute the stress.

        Returns:
            Interaction energies [n_graphs] eV and forces [n_atoms, 3] eV/Å in the network's dtype,
            and the other fields of `Prediction`.

        Raises:
            PestleError: the model does not know an element; the error names the frame.
        """

    # -- reference energies ---------------------------------------------------------------------
    @property
    @abstractmethod
    def reference_energies(self) -> dict[str, dict[int, float]]:
        """Return the E0s in eV (float64), first by head, then by atomic number."""

    @abstractmethod
    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> Self:
        """Return a copy of the model in which one head has other E0s.

        Args:
            head: name of the head.
            e0s: new energies in eV by atomic number; elements that are not given keep theirs.

        Raises:
            PestleError: there is no such head, or the model does not know an element.
        """

    def isolated_atom_energies(self, head: str | None = None) -> dict[int, float]:
        """Predict the energy of a single atom of every element.

        This is the E0 plus what the network adds to it for an atom without neighbours.

        Args:
            head: name of the head, as for `head_index`.

        Returns:
            Energies in eV by atomic number.

        Raises:
            PestleError: there is no such head, or no name was given and several heads are possible.
        """
        row = self.head_index(head)
        atoms = [Frame(Atoms(numbers=[z])) for z in self.elements]
        graphs = collate(make_graphs(atoms, self.cutoff, dtype=self.dtype)).with_head(row)
        energies = self.predict(graphs.to(self.device)).energy.tolist()
        return dict(zip(self.elements, energies, strict=True))

    @property
    def needs_double(self) -> bool:
        """Return whether float32 is too coarse for total energies with these E0s.

        All-electron E0s are of this kind.
        """
        largest = max(abs(e) for e0s in self.reference_energies.values() for e in e0s.values())
        return largest * FLOAT32_SPACING > EXPORT_ROUNDING

    # -- new models made from this one, which itself is not changed -----------------------------
    def copy(self) -> Self:
        """Return an independent copy of the model with its weights."""
        return copy.deepcopy(self)

    def with_dtype(self, dtype: torch.dtype) -> Self:
        """Return a copy of the model in another precision; the E0s stay float64."""
        return self.copy().to(dtype)

    # -- files ----------------------------------------------------------------------------------
    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the architecture, weights and E0s as they are now."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model as `architecture.json` and `weights.safetensors`.

        Neither file holds code. `load_foundation` reads them through the `from_safe` of the backend
        (`backends.Backend`).

        Args:
            folder: folder to write to; it is made if it does not exist.
        """

    @abstractmethod
    def calculator(self, *, head: str | None = None, dispersion: str | None = None) -> Calculator:
        """Make an ASE calculator of this model (`calculator.FoundationCalculator`).

        Args:
            head: name of the head, as for `head_index`.
            dispersion: functional whose D3 correction is added, such as `pbe` or `pbe-d3(zero)`; or
                `removed`, which adds the correction that was subtracted from the training labels.

        Raises:
            PestleError: the head or functional is unknown, or the model already contains
                dispersion.
        """
