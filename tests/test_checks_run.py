"""`pestle check -f` and a run that begins say the same of the same files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms

from conftest import DATA
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.check import check, check_lines
from pestle.jobs.finetune.preparation import prepare
from pestle.jobs.preflight import as_lines
from pestle.settings.run_file import from_names
from pestle.structures.reading import read_frames

#: Its single atoms are exact: sound data get no warning at all.
FOUNDATION = "pestle-seed1"


@pytest.fixture(scope="module")
def seed1() -> Foundation:
    return load_foundation(FOUNDATION, dtype=torch.float64)


def planted(fault: str, frames: list[Atoms]) -> list[Atoms]:
    """Training frames with one fault."""
    body = [atoms for atoms in frames if len(atoms) > 1]
    if fault == "two levels of theory":
        for atoms in body[::2]:
            atoms.info["REF_energy"] += 3.0
    elif fault == "an outlier":
        body[7].info["REF_energy"] += 8.0
        body[9].arrays["REF_forces"] *= 30.0
    elif fault == "copies":
        frames += [body[3].copy(), body[4].copy()]
    elif fault == "no isolated atoms":
        return body
    elif fault == "energies in kcal/mol":
        for atoms in frames:
            atoms.info["REF_energy"] *= 23.06
    elif fault == "atoms of another level":
        for atoms in frames:
            if len(atoms) == 1:
                atoms.info["REF_energy"] -= 2.0
    elif fault == "overlapping atoms":
        body[2].positions[1] = body[2].positions[0] + 0.02
    elif fault == "a word on dispersion":
        for atoms in frames:
            atoms.info["functional"] = "PBE-D3"
    return frames


FAULTS = (
    "none", "two levels of theory", "an outlier", "copies", "no isolated atoms",
    "energies in kcal/mol", "atoms of another level", "overlapping atoms", "a word on dispersion",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_warns_of_what_a_run_warns_of(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "train.xyz"
    ase.io.write(path, planted(fault, ase.io.read(DATA / "train.xyz", index=":")), format="extxyz")
    report = check([str(path)], foundation=FOUNDATION)
    settings = from_names({"foundation": FOUNDATION, "data.train": [str(path)], "train.threads": 1})
    if report.errors:
        with pytest.raises(PestleError) as refused:
            prepare(settings, torch.device("cpu"))
        assert report.errors[0].message == refused.value.what
        return
    assert as_lines(report.warnings) == prepare(settings, torch.device("cpu")).warnings
    assert fault != "none" or not report.warnings


def test_the_faults_are_noticed_at_all(tmp_path: Path) -> None:
    """Otherwise two empty lists would agree above."""
    found = {}
    for k, fault in enumerate(FAULTS):
        path = tmp_path / f"{k}.xyz"
        frames = planted(fault, ase.io.read(DATA / "train.xyz", index=":"))
        ase.io.write(path, frames, format="extxyz")
        report = check([str(path)], foundation=FOUNDATION)
        found[fault] = {f.code for f in (*report.errors, *report.warnings)}
    assert not found["none"]
    noticed = [fault for fault in FAULTS if found[fault]]
    assert len(noticed) >= 6, found


def test_a_licence_that_forbids_commerce_is_a_warning_of_both(
    monkeypatch: pytest.MonkeyPatch, seed1: Foundation
) -> None:
    model = seed1.copy()
    model.provenance = replace(model.provenance, licence="ASL, non-commercial")
    for place in ("pestle.foundations", "pestle.jobs.finetune.preparation"):
        monkeypatch.setattr(f"{place}.load_foundation", lambda *_, **__: model.copy())
    train = str(DATA / "train.xyz")
    report = check([train], foundation=FOUNDATION)
    settings = from_names({"foundation": FOUNDATION, "data.train": [train], "train.threads": 1})
    assert [f.code for f in report.warnings] == ["licence"]
    assert as_lines(report.warnings) == prepare(settings, torch.device("cpu")).warnings
    assert report.foundation is not None and "non-commercial" in report.foundation.licence


def test_errors_are_those_of_the_foundation_less_one_offset_per_element(
    seed1: Foundation, tmp_path: Path
) -> None:
    """Labels made from the foundation: forces off by 0.1 eV/Å in one group, energies shifted by a
    constant for each element, which is found and taken off."""
    frames = [f for f in read_frames([str(DATA / "train.xyz")]).frames if len(f) > 1][:24]
    shift = {1: -2.0, 6: 1.0, 9: 0.5, 17: 4.0}
    written = []
    # Without some of the atoms the compositions determine more than one sum.
    for k, frame in enumerate(frames):
        atoms = frame.atoms.copy()
        atoms = atoms[[i for i in range(len(atoms)) if i not in {0: (), 1: (0,), 2: (1,)}[k % 3]]]
        atoms.info.clear()
        atoms.info["config_type"] = "moved" if k % 2 else "same"
        atoms.arrays = {name: atoms.arrays[name] for name in ("numbers", "positions")}
        written.append(atoms)
    bare = tmp_path / "bare.xyz"
    ase.io.write(bare, written, format="extxyz")
    said = predict_frames(seed1, read_frames([str(bare)]).frames, head=None)
    for atoms, one in zip(written, said, strict=True):
        atoms.info["REF_energy"] = one.energy + sum(shift[int(z)] for z in atoms.numbers)
        moved = 0.1 if atoms.info["config_type"] == "moved" else 0.0
        atoms.arrays["REF_forces"] = one.forces + moved
        atoms.info["functional"] = "RPA"
    path = tmp_path / "train.xyz"
    ase.io.write(path, written, format="extxyz")
    report = check([str(path)], foundation=FOUNDATION)
    found = report.foundation
    assert found is not None and not report.errors, report.errors
    assert found.level_of_labels == "functional=RPA" and found.level_of_theory
    assert not found.not_covered and set(found.covered) == {"H", "C", "F", "Cl"}
    errors = found.errors
    assert errors["all"].n_frames == 24
    assert errors["moved"].forces_rmse == pytest.approx(100.0, rel=1e-2)
    assert errors["same"].forces_rmse < 1.0
    assert errors["all"].energy_rmse < 1.0, "the offset is taken off"
    symbols = {1: "H", 6: "C", 9: "F", 17: "Cl"}
    for atoms in written[:3]:
        want = sum(shift[int(z)] for z in atoms.numbers)
        got = sum(found.offset[symbols[int(z)]] for z in atoms.numbers)
        assert got == pytest.approx(want, abs=1e-2)
    text = "\n".join(check_lines(report))
    assert found.licence in text and "functional=RPA" in text and "moved" in text
    plain = report.to_json()["foundation"]
    assert plain["errors"]["moved"]["forces_rmse"] == errors["moved"].forces_rmse
    assert plain["licence"] == found.licence and np.isfinite(list(plain["offset"].values())).all()


def test_an_element_that_the_foundation_lacks_is_named(tmp_path: Path) -> None:
    frames = ase.io.read(DATA / "train.xyz", index=":12")
    frames[-1].numbers[1] = 84
    ase.io.write(tmp_path / "train.xyz", frames, format="extxyz")
    report = check([str(tmp_path / "train.xyz")], foundation=FOUNDATION)
    assert report.errors and report.foundation is not None
    assert report.foundation.not_covered == ("Po",) and not report.foundation.errors
    assert "not Po" in "\n".join(check_lines(report))


def test_one_frame_is_checked_and_its_lack_said(tmp_path: Path) -> None:
    frames = [f for f in ase.io.read(DATA / "train.xyz", index=":") if len(f) > 1][:1]
    ase.io.write(tmp_path / "one.xyz", frames, format="extxyz")
    report = check([str(tmp_path / "one.xyz")], foundation=FOUNDATION)
    assert not report.errors and "no-validation" in {f.code for f in report.warnings}
    assert report.summary["splits"]["train"]["n_frames"] == 1


def test_labels_of_isolated_atoms_are_counted_apart() -> None:
    lines = check_lines(check(str(DATA / "train.xyz")))
    shown = {line[2:21].strip(): line[21:] for line in lines if line.startswith("  ")}
    assert shown["frames"] == "60" and shown["isolated atoms"] == "4"
    assert shown["labels"] == "energy 60, forces 60; isolated atoms: energy 4"
    assert shown["periodicity"] == "0D" and "isolated" not in shown["label keys"]
