"""Single atoms are recognised as such whatever they are called, and crystals are not."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from pestle.checks import check_frames
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.isolated import image_distance
from pestle.structures.reading import read_frames

SKEWED = [[12.0, 0.0, 0.0], [11.5, 4.0, 0.0], [0.0, 0.0, 20.0]]


def boxed(symbol: str, length: float) -> Atoms:
    return Atoms(symbol, cell=[length] * 3, pbc=True)


def written(path: Path, frames: list[tuple[Atoms, dict]]) -> list[Frame]:
    for k, (atoms, info) in enumerate(frames):
        atoms.info |= {"REF_energy": -1.0 - k, **info}
    ase.io.write(path, [atoms for atoms, _ in frames], format="extxyz")
    return read_frames([str(path)]).frames


def test_single_atoms_of_any_name(tmp_path: Path) -> None:
    atoms = [
        (Atoms("H"), {"config_type": "IsolatedAtom"}),
        (Atoms("C"), {"config_type": "isolated_atom"}),
        (Atoms("N"), {}),
        (boxed("O", 10.0), {"config_type": "gas"}),
        (boxed("F", 6.0), {"config_type": "isolated-atom"}),  # by its own word
        (Atoms("S", cell=[3.0, 3.0, 9.0], pbc=[False, False, True]), {}),
    ]
    others = [
        (bulk("Cu"), {}),
        (bulk("Cs"), {"config_type": "eos"}),
        (bulk("Xe", cubic=False), {}),
        (Atoms("Cu", cell=SKEWED, pbc=True), {}),  # its images are 4.03 Å apart
        (Atoms("Cu", cell=[2.5, 20, 20], pbc=[True, False, False]), {}),  # a wire
        (Atoms("F"), {"total_charge": -1}),  # an ion: its energy is no E0
        (molecule("H2"), {"config_type": "isolated"}),
    ]
    frames = written(tmp_path / "all.xyz", atoms + others)
    rest, found = split_isolated_atoms(frames)
    assert "".join(f.atoms.symbols[0] for f in found) == "HCNOFS"
    assert len(rest) == len(others)
    said = [f for f in check_frames({"train": frames}).findings if f.code == "isolated-atoms"]
    assert len(said) == 1 and said[0].n_frames == 5
    assert "isolated_atom, Default, gas" in said[0].message


@pytest.mark.parametrize(
    ("atoms", "distance"),
    [
        (Atoms("H"), np.inf),
        (boxed("H", 7.0), 7.0),
        (bulk("Cu", "fcc", a=3.6), 3.6 / np.sqrt(2)),
        (Atoms("Cu", cell=SKEWED, pbc=True), np.hypot(0.5, 4.0)),
        (Atoms("Cu", cell=SKEWED, pbc=[True, True, False]), np.hypot(0.5, 4.0)),
        (Atoms("Cu", cell=SKEWED, pbc=[False, False, True]), 20.0),
    ],
)
def test_distance_to_the_nearest_image(atoms: Atoms, distance: float) -> None:
    assert image_distance(atoms) == pytest.approx(distance)


def test_atoms_that_see_their_images_are_a_warning(tmp_path: Path) -> None:
    atoms = [
        (boxed("H", 5.0), {"config_type": "IsolatedAtom"}),
        (boxed("O", 11.0), {"config_type": "IsolatedAtom"}),
        (boxed("C", 12.5), {"config_type": "IsolatedAtom"}),
    ]
    frames = written(tmp_path / "atoms.xyz", atoms)

    def warned(some: list[Frame], **more: float) -> list:
        found = check_frames({"train": some}, **more).findings
        return [f for f in found if f.code == "small-boxes"]

    (both,) = warned(frames)
    assert both.severity == "warning" and both.n_frames == 2
    assert "2 of 3 isolated atoms" in both.message and "as near as 5 Å" in both.message
    assert "the model sees the images" in both.message
    (one,) = warned(frames[1:], cutoff=6.0)  # no edge, but near enough for the calculation
    assert "the model sees" not in one.message
    assert not warned(frames[1:], cutoff=5.0) and not warned(frames[2:])


def test_an_ion_is_no_reference(tmp_path: Path) -> None:
    frames = written(
        tmp_path / "ion.xyz",
        [
            (Atoms("F"), {"config_type": "IsolatedAtom", "total_charge": -1}),
            (molecule("F2"), {}),
        ],
    )
    codes = {f.code: f for f in check_frames({"train": frames}).findings}
    assert codes["charged-atoms"].severity == "warning"
    assert "any element" in codes["no-isolated-atoms"].message
