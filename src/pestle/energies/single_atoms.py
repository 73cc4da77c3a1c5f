"""Energies of single atoms in a model, and whether training can change them (paper, 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ase import Atoms

from pestle.energies.reference_energies import SINGLE_ATOM_TOLERANCE
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.structures.frame import Frame, elements_of
from pestle.structures.graphs import collate, make_graph
from pestle.wording import figure


def single_atom_offset(model: Foundation, elements: Sequence[int]) -> float:
    """Return the largest |single-atom energy − E0| over some elements, eV.

    Args:
        model: the model.
        elements: atomic numbers.
    """
    real = model.isolated_atom_energies(TARGET_HEAD)
    e0s = model.reference_energies[TARGET_HEAD]
    return max((abs(real[z] - e0s[z]) for z in elements if z in real), default=0.0)


def single_atoms_learnable(model: Foundation) -> bool:
    """Whether any weight of the model changes its single-atom energies (paper, 3.2.2).

    A constant of the architecture, such as MACE's shift, is not a weight: training on isolated
    atoms cannot change it.
    """
    head = model.head_index(TARGET_HEAD)
    atoms = [Frame(Atoms(numbers=[z])) for z in model.elements]
    batch = collate([make_graph(f, model.cutoff, dtype=model.dtype) for f in atoms])
    batch = batch.to(model.device).with_head(head)
    energy = model.predict(batch, training=True).interaction_energy.sum()
    if not energy.requires_grad:
        return False
    weights = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(energy, weights, allow_unused=True)
    return any(g is not None and bool((g != 0).any()) for g in gradients)


def single_atom_note(model: Foundation, frames: Sequence[Frame]) -> list[str]:
    """Return a warning if the model's single-atom energies differ from its E0s.

    Args:
        model: the model.
        frames: frames with the elements to check.
    """
    offset = single_atom_offset(model, elements_of(frames))
    if offset < SINGLE_ATOM_TOLERANCE:
        return []
    cause = (
        "If you need energies of atomisation or dissociation, add isolated atoms to the training "
        "data"
        if single_atoms_learnable(model)
        else "Training cannot change that: take no energies of atomisation or dissociation from it"
    )
    return [
        f"the model's energy of a single atom differs from its E0 by up to {figure(offset)} eV. "
        f"{cause}"
    ]
