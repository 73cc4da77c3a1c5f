"""What a model may be able to do beyond the contract, and how to ask for it.

A capability is a class between `Foundation` and a model. A model has it by inheriting it and
writing its methods; whoever needs it asks `require(model, Capability)`, which gives the model back
or says in one line what it lacks and what to type instead. What to do without it where there is
nothing to refuse is said beside the capability (`parts_of`, `arithmetic_of`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, TypeVar

import torch

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.structures.graphs import GraphBatch


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


class Adapters(Foundation):
    """Its linear layers can carry low-rank updates (LoRA)."""

    @abstractmethod
    def linear_layers(self) -> list[LinearLayer]:
        """Every linear layer (scalar and equivariant) with its irrep blocks, which cover the weight
        in order. Pytorch's own layers are one block of irrep `0e`, transposed, path weight 1."""


class Parts(Foundation):
    """Its parameters are known by their place in the architecture, so that parts can be frozen."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[str]]:
        """Names of all parameters, each once, by part in the order of the forward pass:
        `embedding`, `interaction 1`, `product 1`, … , `readout 1`, …"""


class Heads(Foundation):
    """Its body can carry several heads, each with a readout and E0s of its own."""

    @abstractmethod
    def with_heads(self, heads: Mapping[str, str]) -> Self:
        """Shared body with the heads new name → old name, each a copy of the old head's readout.

        Raises:
            PestleError: no head was asked for, or an old one does not exist.
        """


class ElementSelection(Foundation):
    """It can be cut down to some of its elements."""

    @abstractmethod
    def with_elements(self, elements: Sequence[int]) -> Self:
        """Cut down to these atomic numbers; predictions on them are unchanged.

        Raises:
            PestleError: none was asked for, or one that the model does not know.
        """


class RandomWeights(Foundation):
    """Its shape can be trained from scratch."""

    @abstractmethod
    def with_random_weights(self, seed: int, *, mean_neighbours: float, scale: float) -> Self:
        """The same shape from scratch: random weights, no distance transform (paper, appendix A).

        Args:
            seed: seed of the initialisation.
            mean_neighbours: mean number of neighbours in the training data.
            scale: scale of the interaction energy, the RMS force component in eV/Å.
        """


class Descriptors(Foundation):
    """It describes the environment of every atom."""

    @abstractmethod
    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        """Invariant descriptors [n_atoms, d] of the atoms' environments, without gradient."""


class OwnFile(Foundation):
    """It can be written as the file that its architecture's own programs load."""

    #: How the names of those files end.
    own_format: ClassVar[str]
    #: Module, class and argument by which ASE loads such a file.
    own_calculator: ClassVar[tuple[str, str, str]]
    #: Precision that those files are read in; `None` for that of the model.
    own_dtype: ClassVar[torch.dtype | None] = None

    @abstractmethod
    def export(self, path: Path, *, head: str | None = None) -> None:
        """Write such a file.

        Args:
            path: file to write.
            head: head to write alone; `None` means all of them.

        Raises:
            PestleError: `export_obstacle` says why.
        """

    def export_obstacle(self, *, head: str | None = None) -> str:
        """Why `export` cannot write this model, as a clause; empty where it can."""
        return ""


class LammpsFiles(Foundation):
    """It can be written as files that LAMMPS loads."""

    #: Formats: name → how the names of their files end.
    lammps_formats: ClassVar[Mapping[str, str]]

    @abstractmethod
    def export_lammps(self, files: Mapping[str, Path], *, head: str | None = None) -> None:
        """Write such files, each checked against `predict`; all of them or none.

        Args:
            files: format, one of `lammps_formats`, → file to write.
            head: head to write; `None` means the only one, or the one called Default.

        Raises:
            PestleError: this model has no such file, or one fails its check.
        """


class Kernels(Foundation):
    """Its network can run with arithmetic that is not the architecture's own."""

    #: By the names of `train.kernels`.
    kernel_names: ClassVar[tuple[str, ...]] = ("pestle",)
    #: The one it runs with, as asked for.
    kernels: str = "auto"

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


C = TypeVar("C", bound=Foundation)


@dataclass(frozen=True)
class _Lack:
    """What a model without a capability is told: what it cannot, where that was asked, and what to
    type instead."""

    what: str
    where: str
    instead: str


_LACKS: dict[type[Foundation], _Lack] = {
    Adapters: _Lack(
        "whose linear layers cannot carry low-rank updates (LoRA)",
        "method",
        "Choose another method, e.g. --method naive.",
    ),
    Parts: _Lack(
        "whose parts are not known by name, so that none can be frozen",
        "method",
        "Choose another method, e.g. --method naive.",
    ),
    Heads: _Lack(
        "which cannot carry a second head or another head's name",
        "method",
        "Choose a method without replay, e.g. --method naive.",
    ),
    ElementSelection: _Lack(
        "which cannot be cut down to fewer elements", "elements", "Leave it at all."
    ),
    RandomWeights: _Lack(
        "which cannot be trained from scratch", "method", "Fine-tune it, e.g. --method naive."
    ),
    Descriptors: _Lack(
        "which gives no descriptors of atoms to choose structures by",
        "replay.select",
        "Choose by composition: --set replay.select=random.",
    ),
    OwnFile: _Lack(
        "which has no file of its own for other programs",
        "--to ase",
        "pestle.load(MODEL).calculator() runs it in ASE.",
    ),
    LammpsFiles: _Lack(
        "which cannot be written for LAMMPS",
        "--to lammps",
        "pestle.load(MODEL).calculator() runs it in ASE, and docs/export.md says how torch-sim "
        "does.",
    ),
    Kernels: _Lack(
        "which runs with its own modules only", "train.kernels", "Leave it at auto."
    ),
}  # fmt: skip


def require(model: Foundation, capability: type[C], *, where: str = "", instead: str = "") -> C:
    """The model, known to have a capability.

    Args:
        model: any foundation.
        capability: one of the classes of this module.
        where: what asks for it, where that is not what usually does.
        instead: what the user can do without it, where that is not the usual advice.

    Raises:
        PestleError: the model has not got it; one line that names the model, what it lacks and what
            to type instead.
    """
    if isinstance(model, capability):
        return model
    lack = _LACKS[capability]
    raise PestleError(
        f"{model.provenance.name} is a '{model.backend}' model, {lack.what}",
        where=where or lack.where,
        fix=instead or lack.instead,
    )


def capabilities_of(model: Foundation) -> tuple[type[Foundation], ...]:
    """The capabilities that a model has, in the order of this module."""
    return tuple(capability for capability in _LACKS if isinstance(model, capability))


def parts_of(model: Foundation) -> dict[str, list[str]]:
    """Names of the parameters by part; one part, `network`, where the model knows none."""
    if isinstance(model, Parts):
        return model.parameter_groups()
    return {"network": [name for name, _ in model.named_parameters()]}


def arithmetic_of(model: Foundation) -> str:
    """What the network runs with, as a clause."""
    return model.arithmetic if isinstance(model, Kernels) else "its own modules"
