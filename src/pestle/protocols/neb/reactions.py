"""Reactions that the user gives: a set of structures each, reactant first and product last."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from pestle.errors import PestleError
from pestle.foundations.calculator import CHARGE_KEYS, SPIN_KEYS, info_of
from pestle.protocols.base import Inputs
from pestle.protocols.neb.path import displacement, fixed_atoms, turned
from pestle.records.wording import counted
from pestle.structures.frame import Frame, split_isolated_atoms

#: Å: atoms that lie no farther apart lie in one place.
SAME = 1e-3
#: Arrays of a structure that are none of its labels.
KEPT = {"numbers", "positions", "masses", "tags", "initial_magmoms", "initial_charges"}


@dataclass(frozen=True)
class Reaction:
    """A reaction with the images between reactant and product, if any were given.

    Attributes:
        name: of the set.
        images: reactant, images between, product; charge and spin filled in, all of one kind.
    """

    name: str
    images: tuple[Frame, ...]

    @property
    def slug(self) -> str:
        """The name as a file may be called."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    @property
    def reference(self) -> np.ndarray | None:
        """`relative_labels` of the images."""
        return relative_labels(self.images)

    def structures(self) -> list[Atoms]:
        """Copies of the images for calculators, which find charge and spin in `atoms.info`."""
        return [charged(frame) for frame in self.images]

    def end(self, which: str) -> Atoms:
        """A copy of the `reactant` or the `product`."""
        return charged(self.images[0 if which == "reactant" else -1])

    def at(self, positions: Iterable[np.ndarray]) -> list[Atoms]:
        """Structures of this reaction at other positions, [n_images, n_atoms, 3] Å."""
        found = []
        for place in positions:
            atoms = self.end("reactant")
            atoms.set_positions(place, apply_constraint=False)
            found.append(atoms)
        return found


def relative_labels(images: Sequence[Frame]) -> np.ndarray | None:
    """Labels relative to the first image, [n_images] eV, NaN where there is none; `None` without a
    label of the first and one more image."""
    energy = np.array([np.nan if f.energy is None else f.energy for f in images])
    energy = energy - energy[:1]
    return energy if np.isfinite(energy[1:]).any() else None


def has_reference(sets: Mapping[str, Sequence[Frame]]) -> bool:
    """Whether the energies of a reaction can be judged."""
    images = (split_isolated_atoms(frames)[0] for frames in sets.values())
    return any(relative_labels(own) is not None for own in images)


def charged(frame: Frame) -> Atoms:
    """The structure without labels, and total charge and spin in `atoms.info`, where given."""
    atoms = frame.atoms.copy()
    atoms.info = {}
    for name in set(atoms.arrays) - KEPT:
        del atoms.arrays[name]
    for name, value in (("charge", frame.charge), ("spin", frame.spin)):
        if value is not None:
            # Some calculators take whole numbers only.
            number = int(value) if value == int(value) else value
            atoms.info |= {f"total_{name}": number, name: number}
    return atoms


def frame_of(atoms: Atoms, source: str, index: int) -> Frame:
    """A structure made here as a frame with the charge and spin that its info holds."""
    return Frame(
        atoms,
        charge=info_of(atoms, CHARGE_KEYS),
        spin=info_of(atoms, SPIN_KEYS),
        source=source,
        index=index,
    )


def reactions(inputs: Inputs) -> list[Reaction]:
    """The reactions of all sets; isolated atoms are left out.

    Raises:
        PestleError: there is none, or the structures of a set are not images of one reaction.
    """
    if not inputs.sets:
        raise PestleError(
            "no reaction is given",
            where="neb",
            fix="Give --data PATH.xyz: the reactant first, the product last, a reference path "
            "between them if there is one.",
        )
    found: dict[str, Reaction] = {}
    for name, frames in inputs.sets.items():
        images = tuple(_filled(frame) for frame in split_isolated_atoms(frames)[0])
        _require_a_reaction(name, images)
        reaction = Reaction(name, images)
        if reaction.slug in found:
            other = found[reaction.slug].name
            raise PestleError(f"'{name}' and '{other}' would share a file name", where="data")
        found[reaction.slug] = reaction
    return list(found.values())


def keyed(inputs: Inputs, _settings: object = None) -> Sequence[Frame]:
    """The images for the digest that raw results depend on: which reaction they belong to and which
    atoms are held fixed are told by the group, since the digest knows nothing else of it.

    Raises:
        PestleError: as `reactions`; before anything is written.
    """
    return [
        replace(frame, config_type=f"{reaction.name} {_constraints(frame)}")
        for reaction in reactions(inputs)
        for frame in reaction.images
    ]


def _constraints(frame: Frame) -> str:
    return str([constraint.todict() for constraint in frame.atoms.constraints])


def _filled(frame: Frame) -> Frame:
    """With the charge and spin that ASE's calculators look for in the info too."""
    charge = info_of(frame.atoms, CHARGE_KEYS) if frame.charge is None else frame.charge
    spin = info_of(frame.atoms, SPIN_KEYS) if frame.spin is None else frame.spin
    return replace(frame, charge=charge, spin=spin)


def _require_a_reaction(name: str, images: Sequence[Frame]) -> None:
    if len(images) < 2:
        raise PestleError(
            f"the set '{name}' holds {counted(len(images), 'structure')}, a reaction at least two",
            where=images[0].where if images else "neb",
            fix="The first is the reactant, the last the product.",
        )
    first = images[0]
    for frame in images:
        problem, fix = _difference(first, frame)
        if problem:
            raise PestleError(problem, where=frame.where, fix=fix)
    start, end = images[0].atoms, images[-1].atoms
    if np.abs(displacement(start, turned(start, end))).max() < SAME:
        raise PestleError(
            f"reactant and product of '{name}' are the same structure", where=images[-1].where
        )


def _difference(first: Frame, frame: Frame) -> tuple[str, str]:
    """What makes a frame no image of the same reaction, and what to do; empty if nothing does."""
    own, other = frame.atoms, first.atoms
    if sorted(own.numbers) != sorted(other.numbers):
        return (
            f"holds {own.get_chemical_formula()}, the first structure of the set "
            f"{other.get_chemical_formula()}",
            "A set is one reaction: give each reaction as a file of its own.",
        )
    if (own.numbers != other.numbers).any():
        return (
            "lists its atoms in another order than the first structure of the set",
            "An atom must have the same number in all images.",
        )
    cells = np.abs(own.cell.array - other.cell.array)[own.pbc]
    if (own.pbc != other.pbc).any() or (cells > 1e-6).any():
        return "has another cell than the first structure of the set", "A band keeps its cell."
    held = fixed_atoms(other)
    if held and np.abs(displacement(other, own)[held]).max() > SAME:
        return "has a fixed atom elsewhere than the first structure of the set", ""
    for what in ("charge", "spin"):
        if getattr(frame, what) != getattr(first, what):
            return (
                f"has {what} {getattr(frame, what)}, the first structure of the set "
                f"{getattr(first, what)}",
                "",
            )
    return "", ""
