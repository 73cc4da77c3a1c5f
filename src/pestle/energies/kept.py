"""E0s of a model that was fine-tuned before: kept, unless the new labels are of another level."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase.data import chemical_symbols

from pestle.energies.methods import estimate, minimum_norm
from pestle.energies.problem import EnergyProblem, lowest_atoms
from pestle.energies.reference_energies import (
    SUSPECT_ERROR,
    SUSPECT_RATIO,
    ReferenceEnergies,
    diagnose,
)
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import is_reference_atom
from pestle.wording import figure, fixed

#: Isolated atoms of one level of theory agree within this, whatever cell and spread they were
#: calculated with; those of two functionals differ by tenths of an eV to thousands (eV).
SAME_LEVEL_ATOM = 0.1
#: A constant for each element explains as many energies as it has elements. It proves another level
#: where there are this many frames for each, or where the error is larger than that of any
#: fine-tuned model on new chemistry (meV/atom).
FRAMES_PER_CONSTANT, BEYOND_CHEMISTRY = 3, 1000.0


@dataclass(frozen=True)
class Learned:
    """What a fine-tuned model's E0s say of the level of theory of the labels it was trained on.

    Attributes:
        name: how the model is called.
        elements: atomic numbers whose E0 belongs to that level.
        isolated_atoms: atomic number → energy of the isolated atom in those data, eV.
        other_dispersion: how the new labels differ from those in dispersion, in words; empty where
            nothing is known of one of them, or where they agree.
    """

    name: str
    elements: frozenset[int]
    isolated_atoms: Mapping[int, float] = field(default_factory=dict)
    other_dispersion: str = ""


def another_level(problem: EnergyProblem, learned: Learned, fresh: Sequence[Frame]) -> str:
    """Why the labels are of another level of theory than those that a model was trained on.

    Args:
        problem: the energies, with the model's own predictions and E0s.
        learned: what is known of the model's labels.
        fresh: the new frames, isolated atoms included; others of the problem are the model's own.

    Returns:
        The reason as a clause; empty where nothing speaks for another level.
    """
    if learned.other_dispersion:
        return learned.other_dispersion
    new = {id(frame) for frame in fresh}
    same_atoms = False
    for atom in fresh:
        z = int(atom.numbers[0])
        old = learned.isolated_atoms.get(z)
        if not is_reference_atom(atom) or atom.energy is None or old is None:
            continue
        if abs(atom.energy - old) > SAME_LEVEL_ATOM:
            return (
                f"an isolated {chemical_symbols[z]} atom has {fixed(atom.energy, 4)} eV in "
                "the new data "
                f"and had {fixed(old, 4)} in those of {learned.name}"
            )
        same_atoms = True
    if same_atoms:
        return ""
    members = [
        k
        for k, frame in enumerate(problem.frames)
        if id(frame) in new and learned.elements >= set(elements_of([frame]))
    ]
    if problem.interaction is None or not members:
        return ""
    part = replace(
        problem,
        frames=[problem.frames[k] for k in members],
        atoms=[],
        counts=problem.counts[members],
        energy=problem.energy[members],
        interaction=problem.interaction[members],
    )
    kept, fitted = estimate(part, "foundation"), estimate(part, "reestimate")
    before, after = kept.zero_step_error, fitted.zero_step_error
    assert before is not None and after is not None
    proven = len(members) >= FRAMES_PER_CONSTANT * fitted.rank or before > BEYOND_CHEMISTRY
    if before < SUSPECT_ERROR or before < SUSPECT_RATIO * after or not proven:
        return ""
    return (
        f"with the E0s of {learned.name} its energies are {before:.0f} meV/atom off on the new "
        f"frames, and a constant for each element leaves {figure(after)}"
    )


def keep(problem: EnergyProblem, learned: Learned) -> ReferenceEnergies:
    """The E0s of a fine-tuned model. Elements that its data lacked have an E0 of its foundation,
    which is of another level: theirs come from the new data.

    Args:
        problem: the energies, with the model's own predictions and E0s.
        learned: what is known of the model's labels.
    """
    e0s = dict(problem.foundation_e0s)
    foreign = [z for z in problem.elements if z not in learned.elements]
    reason = f"kept from {learned.name}, whose labels are of the same level of theory"
    if foreign:
        found = _of_new_elements(problem, learned, foreign)
        e0s |= found
        names = ", ".join(chemical_symbols[z] for z in foreign)
        reason += f"; its data had no {names}, whose E0s come from the new frames"
    result = ReferenceEnergies("foundation", e0s)
    result.kept = tuple(sorted(set(problem.foundation_e0s) - set(foreign)))
    result.reason = reason
    return diagnose(result, problem)


def _of_new_elements(
    problem: EnergyProblem, learned: Learned, foreign: Collection[int]
) -> dict[int, float]:
    """E0s of some elements, those of the others held: their isolated atoms where all have one and
    the other E0s are isolated atoms, too, else what the energies leave (Eq. 6)."""
    atoms = lowest_atoms(problem)
    if learned.isolated_atoms and all(z in atoms for z in foreign):
        return {z: atoms[z] for z in foreign}
    start = dict(problem.foundation_e0s) | {z: atoms[z] for z in foreign if z in atoms}
    columns = [k for k, z in enumerate(problem.elements) if z in foreign]
    rows = np.flatnonzero(problem.counts[:, columns].any(axis=1))
    if problem.interaction is None or not len(rows):
        return {z: start[z] for z in foreign}
    reference = problem.counts[rows] @ np.array([start[z] for z in problem.elements])
    target = problem.energy[rows] - (problem.interaction[rows] + reference)
    shift = minimum_norm(problem.counts[rows][:, columns], target)
    return {
        problem.elements[k]: start[problem.elements[k]] + float(delta)
        for k, delta in zip(columns, shift, strict=True)
    }
