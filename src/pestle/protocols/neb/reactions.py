"""Reactions given by the user: one set of structures each, reactant first and product last."""

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
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.wording import counted

#: Atoms closer than this (Å) have the same position.
SAME = 1e-3
#: Arrays of a structure that are not labels.
KEPT = {"numbers", "positions", "masses", "tags", "initial_magmoms", "initial_charges"}


@dataclass(frozen=True)
class Reaction:
    """One reaction with its reactant, its product and any given images in between.

    Attributes:
        name: name of the set.
        images: reactant, images in between, product. Charge and spin are filled in. All images
            have the same atoms.
    """

    name: str
    images: tuple[Frame, ...]

    @property
    def slug(self) -> str:
        """The name of the reaction in a form that is valid in a file name."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    @property
    def reference(self) -> np.ndarray | None:
        """Labels of the images as `relative_labels` gives them."""
        return relative_labels(self.images)

    def structures(self) -> list[Atoms]:
        """Return copies of the images for calculators, with charge and spin in `atoms.info`."""
        return [charged(frame) for frame in self.images]

    def end(self, which: str) -> Atoms:
        """Return a copy of the `reactant` or the `product`."""
        return charged(self.images[0 if which == "reactant" else -1])

    def at(self, positions: Iterable[np.ndarray]) -> list[Atoms]:
        """Return structures of this reaction at other positions.

        Args:
            positions: [n_images, n_atoms, 3] Å.
        """
        found = []
        for place in positions:
            atoms = self.end("reactant")
            atoms.set_positions(place, apply_constraint=False)
            found.append(atoms)
        return found


def relative_labels(images: Sequence[Frame]) -> np.ndarray | None:
    """Return the energy labels relative to the first image.

    Args:
        images: the images of one reaction.

    Returns:
        [n_images] eV, NaN for an image without a label. `None` unless the first image and at least
        one other image have a label.
    """
    energy = np.array([np.nan if f.energy is None else f.energy for f in images])
    energy = energy - energy[:1]
    return energy if np.isfinite(energy[1:]).any() else None


def has_reference(sets: Mapping[str, Sequence[Frame]]) -> bool:
    """Whether labels exist that the energies of a reaction can be compared with."""
    images = (split_isolated_atoms(frames)[0] for frames in sets.values())
    return any(relative_labels(own) is not None for own in images)


def charged(frame: Frame) -> Atoms:
    """Return the structure without labels, with total charge and spin in `atoms.info` if given."""
    atoms = frame.atoms.copy()
    atoms.info = {}
    for name in set(atoms.arrays) - KEPT:
        del atoms.arrays[name]
    for name, value in (("charge", frame.charge), ("spin", frame.spin)):
        if value is not None:
            # Some calculators accept only whole numbers.
            number = int(value) if value == int(value) else value
            atoms.info |= {f"total_{name}": number, name: number}
    return atoms


def frame_of(atoms: Atoms, source: str, index: int) -> Frame:
    """Return a generated structure as a frame, with the charge and spin of its info.

    Args:
        atoms: the structure.
        source, index: name and number by which errors refer to it.
    """
    return Frame(
        atoms,
        charge=info_of(atoms, CHARGE_KEYS),
        spin=info_of(atoms, SPIN_KEYS),
        source=source,
        index=index,
    )


def reactions(inputs: Inputs) -> list[Reaction]:
    """Return the reactions of all sets; isolated atoms are left out.

    Args:
        inputs: its sets hold one reaction each.

    Raises:
        PestleError: there is no reaction, or the structures of a set are not images of one
            reaction.
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
    """Return the images in the form that enters the digest of the raw results.

    The digest does not include the reaction of an image and its fixed atoms. Both are therefore
    written into the group name (`config_type`) of the images.

    Raises:
        PestleError: as for `reactions`; before anything is written.
    """
    found = []
    for reaction in reactions(inputs):
        for frame in reaction.images:
            held = [constraint.todict() for constraint in frame.atoms.constraints]
            found.append(replace(frame, config_type=f"{reaction.name} {held}"))
    return found


def _filled(frame: Frame) -> Frame:
    """Return the frame with charge and spin also in the info, where ASE's calculators look for
    them.
    """
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
    """Explain why a frame is not an image of the same reaction, and what to do; empty if it is
    one.
    """
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
