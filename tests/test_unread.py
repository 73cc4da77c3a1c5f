"""Numbers that stand in a file under another name: said once, with the option that reads them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from pestle import cli
from pestle.checks.report import CheckFinding, CheckReport
from pestle.errors import PestleError
from pestle.jobs.check import check
from pestle.jobs.evaluate import evaluate
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.unread import name_kind

STRESS = np.array([[1.0, 0.6, 0.5], [0.6, 2.0, 0.4], [0.5, 0.4, 3.0]]) * 1e-3


def copper(k: int = 0) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=k)
    return atoms


def forces_of(atoms: Atoms) -> np.ndarray:
    forces = np.arange(3.0 * len(atoms)).reshape(-1, 3)
    return forces - forces.mean(axis=0)


def write(path: Path, *frames: Atoms) -> list[str]:
    ase.io.write(path, list(frames), format="extxyz")
    return [str(path)]


def not_read(report: CheckReport) -> list[CheckFinding]:
    return [f for f in report.findings if f.code == "not-read"]


def gpumd(tmp_path: Path, count: int = 3) -> list[str]:
    """As GPUMD wants its training data."""
    frames = []
    for k in range(count):
        atoms = copper(k)
        atoms.info |= {"energy": -15.0 - k, "virial": -STRESS * atoms.get_volume()}
        atoms.arrays["force"] = forces_of(atoms)
        frames.append(atoms)
    return write(tmp_path / "train.xyz", *frames)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["dft_energy", "Energy", "REF_energy", "total_energy", "E0", "vasp-energy", "TotEnergy",
          "free_energy", "pbe0_energy", "energy_dft"], "energy"),
        (["force", "dft_forces", "DFT_force", "ref_forces", "mace_forces", "frc"], "forces"),
        (["virial", "virials", "REF_virial", "dft_virial"], "virials"),
        (["stress", "dft_stress", "REF_stress"], "stress"),
        (["gradient", "qm_grad"], "gradients"),
        (["energy_per_atom", "e_per_atom"], "per-atom energy"),
        (["charge", "net_charge"], "charge"),
        (["spin", "multiplicity"], "spin"),
        (["formation_energy", "fermi_energy", "kinetic_energy", "energy_std", "zpe_energy",
          "formation_energy_per_atom", "temperature", "step", "forceful", "energetic",
          "dispersion_energy", "force_uncertainty"], None),
    ],
)  # fmt: skip
def test_what_a_name_says(names: list[str], kind: str | None) -> None:
    assert {name: name_kind(name) for name in names} == dict.fromkeys(names, kind)


def test_gpumd_keys_are_named_once_and_then_read(tmp_path: Path) -> None:
    paths = gpumd(tmp_path)
    report = check(paths)
    found = {f.message.split("'")[1]: f for f in not_read(report)}
    assert set(found) == {"force", "virial"} and len(not_read(report)) == 2
    assert "3 frames" in found["force"].message and "--forces-key force." in found["force"].fix
    assert "--virials-key virial." in found["virial"].fix
    assert {f.severity for f in found.values()} == {"warning"}
    # What is said to be there is not asked for at the same time.
    assert "energy-only" not in {f.code for f in report.findings}
    keys = LabelKeys(forces="force", virials="virial")
    assert not not_read(check(paths, keys=keys))
    frame = read_frames(paths, keys).frames[0]
    assert frame.forces == pytest.approx(forces_of(copper()), abs=1e-7)
    assert frame.stress == pytest.approx(STRESS, abs=1e-9)


def test_labels_under_names_of_dft_are_listed_with_what_to_type(tmp_path: Path) -> None:
    frames = []
    for k in range(2):
        atoms = copper(k)
        atoms.info |= {"dft_energy": -15.0 - k, "dft_virial": np.eye(3), "temperature": 300.0}
        atoms.arrays["dft_forces"] = forces_of(atoms)
        frames.append(atoms)
    paths = write(tmp_path / "a.xyz", *frames)
    (error,) = check(paths).errors
    typed = "--energy-key dft_energy --forces-key dft_forces --virials-key dft_virial"
    assert typed in error.fix and "dft_energy (comment line, 2)" in error.message
    words = shlex.split(typed)
    keys = LabelKeys(energy=words[1], forces=words[3], virials=words[5])
    report = check(paths, keys=keys)
    assert not report.errors
    (other,) = not_read(report)
    assert other.severity == "note" and "temperature (2)" in other.message
    with pytest.raises(PestleError, match=typed):
        evaluate("pestle-seed0", paths)


def test_forces_in_the_comment_line(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"energy": -14.0, "forces": forces_of(atoms)}
    paths = write(tmp_path / "a.xyz", atoms)
    frame = read_frames(paths).frames[0]
    assert frame.forces is None
    (finding,) = not_read(check(paths))
    assert "comment line" in finding.message
    assert "columns" in finding.fix and "forces:R:3" in finding.fix
    (frame,) = read_frames(paths, LabelKeys(forces="forces")).frames
    assert frame.forces == pytest.approx(forces_of(atoms))


def test_nine_numbers_of_three_atoms_are_told_by_their_name(tmp_path: Path) -> None:
    """Forces of three atoms and a stress have the same shape."""
    atoms = molecule("H2O")
    atoms.set_cell(np.eye(3) * 8.0)
    atoms.set_pbc(True)
    atoms.info |= {"energy": -14.0, "my_stress": np.arange(9.0), "my_forces": np.arange(9.0)}
    atoms.info["something"] = np.arange(9.0)
    found = {u.key: u.kind for u in read_frames(write(tmp_path / "a.xyz", atoms)).frames[0].unread}
    assert found == {"my_stress": "stress", "my_forces": "forces", "something": "vectors"}


def test_charge_and_spin_have_names_of_their_own(tmp_path: Path) -> None:
    ion, neutral = molecule("H2O"), molecule("H2O")
    ion.rattle(0.1)
    ion.info |= {"energy": -14.0, "charge": -1, "multiplicity": 2}
    neutral.info |= {"energy": -13.0, "charge": 0, "multiplicity": 1}
    found = not_read(check(write(tmp_path / "a.xyz", ion, neutral)))
    assert [f.message.split("'")[1] for f in found] == ["charge", "multiplicity"]
    assert all("1 frame" in f.message and f.severity == "warning" for f in found)
    assert "total_charge" in found[0].fix and "total_spin" in found[1].fix
    ion.info |= {"total_charge": -1, "total_spin": 2}
    assert not not_read(check(write(tmp_path / "a.xyz", ion, neutral)))


def test_the_same_number_under_two_names_is_not_named(tmp_path: Path) -> None:
    atoms = copper()
    forces = forces_of(atoms)
    atoms.info |= {"REF_energy": -15.0, "energy": -15.0, "REF_stress": STRESS, "stress": STRESS}
    atoms.arrays |= {"REF_forces": forces, "forces": forces}
    paths = write(tmp_path / "a.xyz", atoms)
    assert read_frames(paths).frames[0].unread == ()
    atoms.info["energy"] = -14.9
    (finding,) = not_read(check(write(tmp_path / "a.xyz", atoms)))
    assert finding.severity == "note" and "under another key" in finding.message


def test_a_molecule_lacks_no_stress(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"REF_energy": -14.0, "virial": np.eye(3)}
    (unread,) = read_frames(write(tmp_path / "a.xyz", atoms)).frames[0].unread
    assert not unread.lacking


# -- energy and free energy ----------------------------------------------------------------------
def test_the_free_energy_is_taken_and_said(tmp_path: Path) -> None:
    frames = [copper(k) for k in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"energy": -15.0, "free_energy": -15.0 - 0.04 * k}
    paths = write(tmp_path / "a.xyz", *frames)
    assert [f.energy for f in read_frames(paths).frames] == pytest.approx([-15.0, -15.04, -15.08])
    (finding,) = [f for f in check(paths).findings if f.code == "two-energies"]
    assert "2 of 3 frames" in finding.message and "20 meV/atom" in finding.message
    assert "'free_energy' was taken. Forces" in finding.message
    assert "--energy-key energy takes the other" in finding.fix
    named = read_frames(paths, LabelKeys(energy="energy")).frames
    assert [f.energy for f in named] == [-15.0] * 3
    assert not [u for f in named for u in f.unread]


def test_a_gibbs_energy_is_no_free_energy_of_electrons(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"energy": -2079.0, "free_energy": -2079.6}
    paths = write(tmp_path / "a.xyz", atoms)
    assert read_frames(paths).frames[0].energy == -2079.0
    (finding,) = [f for f in check(paths).findings if f.code == "two-energies"]
    assert "'energy' was taken" in finding.message and "more than smearing" in finding.fix


# -- on the command line -------------------------------------------------------------------------
def command(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[Any, str]:
    monkeypatch.setattr(sys, "argv", ["pestle", *words])
    capsys.readouterr()
    code = cli._run()
    out, err = capsys.readouterr()
    return code, out + err


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["evaluate", "pestle-seed0"],
        ["finetune", "-f", "pestle-seed0", "--dry-run", "-d"],
    ],
    ids=["check", "evaluate", "finetune"],
)
def test_each_command_says_it_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    """Also what the readers left out, and the options make it silent."""
    atoms = []
    for k in range(4):
        water = molecule("H2O")
        water.rattle(0.1, seed=k)
        water.info |= {"REF_energy": -14.0 - 0.1 * k, "temperature": 300.0}
        water.arrays["force"] = forces_of(water)
        atoms.append(water)
    (path,) = write(tmp_path / "a.xyz", *atoms)
    text = Path(path).read_text().replace("O   ", "O1  ")
    Path(path).write_text(text)
    code, said = command(capsys, monkeypatch, *words, path)
    said = " ".join(said.split())
    assert code == 0
    for once in (
        "'force' (columns, 4 frames)",
        "--forces-key force.",
        "temperature (4)",
        "O1 as O",
    ):
        assert said.count(once) == 1, (once, said)
    code, said = command(capsys, monkeypatch, *words, path, "--forces-key", "force")
    assert code == 0 and "'force'" not in said
