"""Labels from files: every key, shape and place users keep them in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from pestle.errors import PestleError
from pestle.settings.data import DataSettings
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.splits import read_splits

STRESS = np.array([[1.0, 0.6, 0.5], [0.6, 2.0, 0.4], [0.5, 0.4, 3.0]]) * 1e-3


def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def write(path: Path, *frames: Atoms) -> list[str]:
    ase.io.write(path, list(frames), format="extxyz")
    return [str(path)]


def test_ref_keys_and_weights(tmp_path: Path) -> None:
    atoms = copper()
    atoms.info |= {
        "REF_energy": -1.5, "REF_stress": STRESS, "config_type": "bulk", "config_weight": 2.0,
        "config_forces_weight": 0.5, "total_charge": -1, "head": "dft",
    }  # fmt: skip
    atoms.arrays["REF_forces"] = np.arange(12.0).reshape(4, 3)
    (frame,) = read_frames(write(tmp_path / "a.xyz", atoms)).frames
    assert frame.energy == -1.5
    assert frame.forces is not None and frame.forces[1].tolist() == [3.0, 4.0, 5.0]
    assert frame.stress == pytest.approx(STRESS)
    assert (frame.weight, frame.forces_weight, frame.energy_weight) == (2.0, 0.5, 1.0)
    assert (frame.config_type, frame.charge, frame.head) == ("bulk", -1.0, "dft")


def test_calculator_labels_from_extxyz_and_database(tmp_path: Path) -> None:
    atoms = copper()
    atoms.calc = EMT()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    paths = write(tmp_path / "a.xyz", atoms)
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(atoms)
    for patterns in (paths, [str(tmp_path / "a.db")]):
        reading = read_frames(patterns)
        frame = reading.frames[0]
        assert frame.energy == pytest.approx(energy)
        assert frame.forces == pytest.approx(forces, abs=1e-7)
        assert frame.stress is not None
        assert full_3x3_to_voigt_6_stress(frame.stress) == pytest.approx(stress, abs=1e-7)
        assert reading.keys["energy"] == {"calculator: energy": 1}
        assert frame.atoms.calc is None


@pytest.mark.parametrize(
    "value",
    [STRESS, STRESS.ravel(), full_3x3_to_voigt_6_stress(STRESS)],
    ids=["3x3", "9", "6"],
)
def test_stress_shapes(tmp_path: Path, value: np.ndarray) -> None:
    atoms = copper()
    atoms.info |= {"REF_energy": 0.0, "REF_stress": value}
    (frame,) = read_frames(write(tmp_path / "a.xyz", atoms)).frames
    assert frame.stress == pytest.approx(STRESS)


def test_virials_become_a_stress(tmp_path: Path) -> None:
    """σ = −W/V: the EMT stress comes back from the virials built from it."""
    atoms = copper()
    atoms.calc = EMT()
    stress = atoms.get_stress(voigt=False)
    bare = copper()
    bare.info |= {"REF_energy": 0.0, "REF_virials": -stress * atoms.get_volume()}
    (frame,) = read_frames(write(tmp_path / "a.xyz", bare)).frames
    assert frame.stress == pytest.approx(stress)


def test_named_keys(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"dft_e": -14.0, "REF_energy": 99.0}
    atoms.arrays["dft_f"] = np.ones((3, 3))
    paths = write(tmp_path / "a.xyz", atoms)
    (frame,) = read_frames(paths, LabelKeys(energy="dft_e", forces="dft_f")).frames
    assert frame.energy == -14.0
    assert frame.forces == pytest.approx(np.ones((3, 3)))


def test_wrong_key_names_the_nearest(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info["dft_energy"] = -14.0
    with pytest.raises(PestleError, match="'dft_energy'"):
        read_frames(write(tmp_path / "a.xyz", atoms), LabelKeys(energy="dft_enrgy"))


def test_missing_labels_stay_missing(tmp_path: Path) -> None:
    first, second = molecule("H2O"), molecule("CH4")
    first.info["REF_energy"] = -14.0
    second.arrays["REF_forces"] = np.zeros((5, 3))
    frames = read_frames(write(tmp_path / "a.xyz", first, second)).frames
    assert frames[0].forces is None and frames[1].energy is None
    assert frames[0].stress is None


def test_stress_of_a_molecule_is_ignored(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, stress=np.ones(6))
    (frame,) = read_frames(write(tmp_path / "a.xyz", atoms)).frames
    assert frame.stress is None and "ignored" in frame.notes[0]


def test_globs_and_order(tmp_path: Path) -> None:
    for k, name in enumerate(("b", "a", "c")):
        atoms = molecule("H2O")
        atoms.info["REF_energy"] = float(k)
        write(tmp_path / f"{name}.xyz", atoms)
    frames = read_frames([str(tmp_path / "c.xyz"), str(tmp_path / "*.xyz")]).frames
    assert [f.energy for f in frames] == [2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\nProperties=species:S:1:pos:R:3\nH 0 0 0\n", "1 of the 2 atoms.*cut off"),
        ("", "no structures"),
        ("not a structure file\n", "cannot be read"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.xyz"
    path.write_text(text)
    with pytest.raises(PestleError, match=message) as caught:
        read_frames([str(path)])
    assert "\n" not in caught.value.line


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.xyz", molecule("H2O"))
    with pytest.raises(PestleError, match=r"train\.xyz"):
        read_frames([str(tmp_path / "trian.xyz")])


def make_split_files(tmp_path: Path) -> list[str]:
    frames = []
    for k in range(20):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=k)
        atoms.info["REF_energy"] = float(k)
        frames.append(atoms)
    atom = Atoms("H")
    atom.info |= {"REF_energy": -13.6, "config_type": "IsolatedAtom"}
    return write(tmp_path / "all.xyz", *frames, atom)


def test_seeded_split_keeps_isolated_atoms_in_training(tmp_path: Path) -> None:
    paths = make_split_files(tmp_path)
    first, again, other = (
        read_splits(DataSettings(train=paths, valid_fraction=0.25, split_seed=seed))
        for seed in (3, 3, 4)
    )
    assert len(first.valid) == 5 and len(first.train) == 15 and len(first.isolated) == 1
    assert [f.index for f in first.valid] == [f.index for f in again.valid]
    assert [f.index for f in first.valid] != [f.index for f in other.valid]
    together = sorted(f.index for f in first.train + first.valid)
    assert together == list(range(20))
    assert [f.energy for f in first.named()["train"]][-1] == -13.6


def test_a_smaller_part_of_the_training_frames_lies_in_a_larger_one(tmp_path: Path) -> None:
    paths = make_split_files(tmp_path)
    common: dict[str, Any] = {"train": paths, "valid_fraction": 0.25}
    whole = read_splits(DataSettings(**common))
    parts = [
        read_splits(DataSettings(**common, **drawn, subset_seed=1))
        for drawn in (
            {"train_fraction": 0.1},  # of 15 frames
            {"train_fraction": 0.3},
            {"train_count": 9},
            {"train_fraction": 1.0},
        )
    ]
    drawn = [[f.index for f in part.train] for part in parts]
    assert list(map(len, drawn)) == [2, 4, 9, 15]
    for few, more in pairwise(drawn):
        assert set(few) < set(more)
    assert drawn[-1] == [f.index for f in whole.train]
    for part in parts:  # what they are judged on is the same, and E0s stay determined
        assert [f.index for f in part.valid] == [f.index for f in whole.valid]
        assert len(part.isolated) == 1 and part.n_train_given == 15
    other = read_splits(DataSettings(**common, train_count=4, subset_seed=2))
    assert {f.index for f in other.train} != set(drawn[1])


@pytest.mark.parametrize(
    ("drawn", "words"),
    [({"train_count": 16}, "15 frames left"), ({"train_count": 2, "train_fraction": 0.5}, "both")],
)
def test_a_part_that_cannot_be_drawn_is_refused(
    tmp_path: Path, drawn: dict[str, Any], words: str
) -> None:
    with pytest.raises(PestleError, match=words):
        read_splits(DataSettings(train=make_split_files(tmp_path), valid_fraction=0.25, **drawn))


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_database_rows_with_ref_keys(tmp_path: Path, name: str) -> None:
    """Labels a user kept in a database's own tables are found as in a file."""
    atoms = molecule("H2O")
    forces = np.arange(9.0).reshape(3, 3)
    with ase.db.connect(tmp_path / name) as database:
        database.write(
            atoms,
            key_value_pairs={"REF_energy": -14.5, "config_type": "water"},
            data={"REF_forces": forces},
        )
    (frame,) = read_frames([str(tmp_path / name)]).frames
    assert (frame.energy, frame.config_type) == (-14.5, "water")
    assert frame.forces == pytest.approx(forces)


def test_a_named_virials_key_is_the_only_place_looked_at(tmp_path: Path) -> None:
    atoms = copper()
    atoms.info |= {"REF_energy": 0.0, "REF_stress": np.eye(3) * 7, "w": -STRESS * 2}
    paths = write(tmp_path / "a.xyz", atoms)
    (frame,) = read_frames(paths, LabelKeys(virials="w")).frames
    assert frame.stress == pytest.approx(2 * STRESS / atoms.get_volume())
    with pytest.raises(PestleError, match="'virial'"):
        read_frames(paths, LabelKeys(virials="virial"))


def test_a_stress_that_is_text(tmp_path: Path) -> None:
    atoms = copper()
    atoms.info |= {"REF_energy": 0.0, "REF_stress": "not calculated"}
    with pytest.raises(PestleError, match="REF_stress"):
        read_frames(write(tmp_path / "a.xyz", atoms))


def test_copies_of_a_structure_are_held_out_together(tmp_path: Path) -> None:
    frames = []
    for k in range(6):
        atoms = molecule("CH3OH")
        atoms.rattle(0.05, seed=k)
        for _ in range(3):
            copied = atoms.copy()
            copied.info["REF_energy"] = float(k)
            frames.append(copied)
    paths = write(tmp_path / "a.xyz", *frames)
    for seed in range(5):
        splits = read_splits(DataSettings(train=paths, valid_fraction=0.3, split_seed=seed))
        assert splits.valid and splits.train
        assert not {f.energy for f in splits.train} & {f.energy for f in splits.valid}


def test_the_same_isolated_atom_counts_once(tmp_path: Path) -> None:
    paths = make_split_files(tmp_path)
    splits = read_splits(DataSettings(train=paths, valid=paths))
    assert len(splits.isolated) == 1
