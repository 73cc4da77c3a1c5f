"""Define what a model may be able to do beyond the contract, and how to ask for it.

A capability is a subclass of `Foundation`. A model has the capability if it inherits from this
class and writes its methods. Code that needs a capability calls `require(model, Capability)`. This
returns the model, or raises an error of one line that says what the model lacks and what to type
instead. Where the program can go on without a capability, a function of this file says how
(`parts_of`, `arithmetic_of`).
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
    """This record describes the block of one irrep in the flat weight of a linear layer.

    The matrix that acts on the features is `path_weight * flat[offset : offset + n_in * n_out]`,
    viewed as [n_in, n_out], or as [n_out, n_in] if `transposed`.

    Attributes:
        irrep: the irrep in e3nn's notation, e.g. `1o`.
        n_in: number of input channels.
        n_out: number of output channels.
        offset: index of the block's first number in the flat weight.
        path_weight: normalisation factor that multiplies the stored weight.
        transposed: whether the outputs come first in the stored block.
    """

    irrep: str
    n_in: int
    n_out: int
    offset: int
    path_weight: float
    transposed: bool = False


@dataclass(frozen=True)
class LinearLayer:
    """This record describes a linear layer by its irrep blocks.

    Attributes:
        parameter: dotted name of the layer's weight, as `named_parameters` gives it.
        kind: `scalar` or `equivariant`.
        blocks: the irrep blocks in the order in which they stand in the weight.
    """

    parameter: str
    kind: str  # "scalar" or "equivariant"
    blocks: tuple[LinearBlock, ...]


class Adapters(Foundation):
    """The linear layers of such a model can carry low-rank updates (LoRA)."""

    @abstractmethod
    def linear_layers(self) -> list[LinearLayer]:
        """List every linear layer, scalar or equivariant, with its irrep blocks.

        The blocks of a layer cover its weight in order. A layer of PyTorch itself
        (`torch.nn.Linear`) is one block with the irrep `0e`, transposed, with path weight 1.
        """


class Parts(Foundation):
    """The parameters of such a model are known by part, so that parts can be frozen."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[str]]:
        """Return the names of the parameters by part, in the order of the forward pass.

        The parts are called `embedding`, `interaction 1`, `product 1`, … , `readout 1`, … ; every
        parameter is in exactly one of them.
        """


class Heads(Foundation):
    """The body of such a model can carry several heads, each with its own readout and E0s."""

    @abstractmethod
    def with_heads(self, heads: Mapping[str, str]) -> Self:
        """Return a model with the same body and other heads.

        Args:
            heads: name of each new head and the name of the old head whose readout and E0s it
                copies.

        Raises:
            PestleError: no head was given, or an old head does not exist.
        """


class ElementSelection(Foundation):
    """Such a model can be reduced to some of its elements."""

    @abstractmethod
    def with_elements(self, elements: Sequence[int]) -> Self:
        """Return a model for these elements only, with the same predictions for them.

        Args:
            elements: atomic numbers, in any order.

        Raises:
            PestleError: no element was given, or the model does not know one.
        """


class RandomWeights(Foundation):
    """A model of the same shape can be trained from scratch."""

    @abstractmethod
    def with_random_weights(self, seed: int, *, mean_neighbours: float, scale: float) -> Self:
        """Return a model of the same shape with random weights and without a distance transform.

        These are the settings of the fine-tuning study for training from scratch (paper, appendix
        A).

        Args:
            seed: seed of the random weights.
            mean_neighbours: mean number of neighbours of an atom in the training data.
            scale: factor of the interaction energy; the RMS force component in eV/Å of the training
                data.
        """


class Descriptors(Foundation):
    """Such a model can describe the environment of every atom by numbers."""

    @abstractmethod
    def descriptors(self, graphs: GraphBatch) -> torch.Tensor:
        """Compute a rotationally invariant descriptor of every atom's environment.

        Args:
            graphs: structures on the model's device.

        Returns:
            [n_atoms, d], without gradient.
        """


class OwnFile(Foundation):
    """Such a model can be written as the file that its architecture's own programs load."""

    #: Ending of the names of such files.
    own_format: ClassVar[str]
    #: Module and class of the ASE calculator for such a file, and its argument for the path.
    own_calculator: ClassVar[tuple[str, str, str]]
    #: Precision in which other programs read such a file; `None` means that of the model.
    own_dtype: ClassVar[torch.dtype | None] = None

    @abstractmethod
    def export(self, path: Path, *, head: str | None = None) -> None:
        """Write the model as such a file.

        Args:
            path: file to write.
            head: name of the only head to write; `None` writes all of them.

        Raises:
            PestleError: the model cannot be written; `export_obstacle` says why.
        """

    def export_obstacle(self, *, head: str | None = None) -> str:
        """Say why `export` cannot write this model.

        Args:
            head: as for `export`.

        Returns:
            The reason as a clause; empty if the model can be written.
        """
        return ""


class LammpsFiles(Foundation):
    """Such a model can be written as files that LAMMPS loads."""

    #: Ending of the file names of each format.
    lammps_formats: ClassVar[Mapping[str, str]]

    @abstractmethod
    def export_lammps(self, files: Mapping[str, Path], *, head: str | None = None) -> None:
        """Write files for LAMMPS, each tested against `predict`.

        Either all files are written or none.

        Args:
            files: file to write for each format (a key of `lammps_formats`).
            head: name of the head to write; `None` means the only one or the one called Default.

        Raises:
            PestleError: the model cannot be written in such a format, or a file failed its test.
        """


class Kernels(Foundation):
    """The network of such a model can run with other arithmetic than its architecture's own."""

    #: Names that the setting `train.kernels` takes besides `auto`.
    kernel_names: ClassVar[tuple[str, ...]] = ("pestle",)
    #: The name that was asked for.
    kernels: str = "auto"

    def use_kernels(self, name: str) -> None:
        """Run the network with these kernels from now on; models made from this model do the same.

        Args:
            name: `auto` or one of `kernel_names`.

        Raises:
            PestleError: the architecture has no such kernels, or a package that they need is
                missing.
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
        """Say what the network runs with, as a clause."""
        return "Pestle's kernels"


C = TypeVar("C", bound=Foundation)


@dataclass(frozen=True)
class _Lack:
    """This record is the error message for a model that lacks a capability.

    Attributes:
        what: what the model cannot do, as a relative clause.
        where: the setting or option that asked for it.
        instead: what the user can type instead.
    """

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
    """Return the model if it has a capability, and raise an error otherwise.

    Args:
        model: any foundation.
        capability: one of the classes of this file.
        where: the setting or option that asks for it, if it is not the usual one.
        instead: what the user can do instead, if it is not the usual advice.

    Returns:
        The same model, typed as having the capability.

    Raises:
        PestleError: the model lacks it; the error names the model, what it lacks and what to type
            instead.
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
    """Return the capabilities that a model has, in the order of this file."""
    return tuple(capability for capability in _LACKS if isinstance(model, capability))


def parts_of(model: Foundation) -> dict[str, list[str]]:
    """Return the names of a model's parameters by part.

    A model without the capability `Parts` has one part, called `network`.
    """
    if isinstance(model, Parts):
        return model.parameter_groups()
    return {"network": [name for name, _ in model.named_parameters()]}


def arithmetic_of(model: Foundation) -> str:
    """Say what the network of any model runs with, as a clause."""
    return model.arithmetic if isinstance(model, Kernels) else "its own modules"
