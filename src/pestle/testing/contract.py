"""The contract of `Foundation` as a list of checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pestle.foundations.capabilities import (
    Adapters,
    Descriptors,
    ElementSelection,
    Heads,
    Kernels,
    LammpsFiles,
    OwnFile,
    Parts,
    RandomWeights,
)
from pestle.foundations.interface import Foundation
from pestle.structures.frame import Frame
from pestle.testing import capabilities, models, physics
from pestle.testing.structures import Case, example_frames


@dataclass(frozen=True)
class Check:
    """One thing that a model must do.

    Attributes:
        run: raises AssertionError with what is wrong.
        of: the capability that it belongs to; `Foundation` for what every model must do.
    """

    run: Callable[[Case], None]
    of: type[Foundation] = Foundation


#: What is checked → how.
CHECKS: dict[str, Check] = {
    "forces are the derivative of the energy": Check(physics.forces),
    "stress is the derivative of the energy": Check(physics.stress),
    "gradients for training are right": Check(physics.training_gradients),
    "nothing jumps at the cutoff": Check(physics.cutoff),
    "rotation and inversion": Check(physics.rotation),
    "translation and choice of the cell": Check(physics.translation),
    "order of the atoms": Check(physics.permutation),
    "size of the system": Check(physics.extensivity),
    "batches give what single structures give": Check(physics.batches),
    "atoms without neighbours": Check(physics.lone_atoms),
    "several heads in one pass": Check(physics.heads_in_one_pass),
    "unknown elements are refused": Check(models.unknown_elements),
    "reference energies": Check(models.reference_energies),
    "single atoms": Check(models.single_atoms),
    "copies are independent": Check(models.copies),
    "single and double precision": Check(models.precision),
    "saved and loaded": Check(models.files),
    "ASE calculator": Check(models.calculator),
    "new heads": Check(capabilities.heads, Heads),
    "fewer elements": Check(capabilities.element_selection, ElementSelection),
    "random weights": Check(capabilities.random_weights, RandomWeights),
    "parts of the network": Check(capabilities.parts, Parts),
    "low-rank updates": Check(capabilities.adapters, Adapters),
    "descriptors": Check(capabilities.descriptors, Descriptors),
    "file of its own programs": Check(capabilities.own_file, OwnFile),
    "files for LAMMPS": Check(capabilities.lammps_files, LammpsFiles),
    "kernels": Check(capabilities.kernels, Kernels),
}


def checks_of(model: Foundation) -> tuple[str, ...]:
    """Names of the checks that concern a model: those of its capabilities and of every model."""
    return tuple(name for name, check in CHECKS.items() if isinstance(model, check.of))


def prepared(model: Foundation, frames: Sequence[Frame] | None = None) -> Case:
    """The model in float64 with the structures that it is tried on.

    Args:
        model: not changed.
        frames: structures of its elements, labels not needed: a crystal and a molecule of three
            atoms at least; by default Pestle makes four.

    Raises:
        PestleError: there is no crystal or no molecule among the frames.
    """
    if model.dtype != torch.float64:
        model = model.with_dtype(torch.float64)
    return Case(model, example_frames(model.elements) if frames is None else frames)


def check_foundation(model: Foundation, frames: Sequence[Frame] | None = None) -> tuple[str, ...]:
    """Hold a model to the contract that the rest of Pestle relies on.

    Finite differences need float64: a float32 model is cast. Its backend has to be known
    (`pestle.foundations.backends`), because what is saved is loaded again.

    Args:
        model: not changed.
        frames: structures of its elements, labels not needed: a crystal and a molecule of three
            atoms at least; by default Pestle makes four.

    Returns:
        What was checked.

    Raises:
        AssertionError: all that is wrong, one line each.
        PestleError: there is no crystal or no molecule among the frames.
    """
    case, wrong = prepared(model, frames), []
    names = checks_of(case.model)
    for name in names:
        try:
            CHECKS[name].run(case)
        except Exception as error:  # a model that is not finished raises anything
            reason = str(error) if isinstance(error, AssertionError) else repr(error)
            wrong.append(f"{name}: {reason}")
    if wrong:
        raise AssertionError(
            f"{model.provenance.name} does not keep {len(wrong)} of {len(names)} checks:\n"
            + "\n".join(wrong)
        )
    return names
