"""D3 against another implementation, taken from labels and added to models; and what is said of
dispersion where labels and foundation differ."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.units import Bohr

import pestle
from pestle.checks.dispersion import dispersion_findings
from pestle.errors import PestleError
from pestle.foundations import catalogue
from pestle.foundations.dispersion import dispersion_of
from pestle.foundations.interface import Foundation, Provenance
from pestle.jobs.check import check
from pestle.jobs.evaluate import evaluate
from pestle.jobs.export import export
from pestle.jobs.finetune.plan import plan_lines
from pestle.records.manifest import Manifest
from pestle.settings.data import DataSettings
from pestle.structures.dispersion import D3, without_dispersion
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.splits import read_splits
from pestle.structures.writing import write_frames


def benzene_dimer() -> Atoms:
    upper = molecule("C6H6")
    upper.positions += [0.4, 0.1, 3.7]
    return molecule("C6H6") + upper


def salt() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.04 * np.eye(3, k=1)), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    return fcc111("Cu", (1, 1, 2), a=3.6, vacuum=8.0)


# -- the correction ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "damping", "xc"),
    [
        ("pbe", "bj", "pbe"),
        ("PBE-D3(BJ)", "bj", "pbe"),
        ("b3lyp-d3bj", "bj", "b3-lyp"),
        ("revpbe", "bj", "revpbe"),
        ("pbe-d3(zero)", "zero", "pbe"),
        ("rpbe d3zero", "zero", "rpbe"),
    ],
)
@pytest.mark.parametrize("structure", [benzene_dimer, salt, slab])
def test_torch_dftd_says_the_same(structure: Any, text: str, damping: str, xc: str) -> None:
    """An implementation of its own; constants of nature differ in the eighth digit."""
    pytest.importorskip("dftd3")
    calculators = pytest.importorskip("torch_dftd.torch_dftd3_calculator")
    if structure is not benzene_dimer and text not in ("pbe", "pbe-d3(zero)"):
        pytest.skip("functionals differ in parameters only")
    atoms = structure()
    energy, forces, stress = D3.of(text).terms(atoms)
    atoms.calc = calculators.TorchDFTD3Calculator(
        damping=damping, xc=xc, dtype=torch.float64, cutoff=95 * Bohr, cnthr=40 * Bohr
    )
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
    assert energy < -0.1
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-6)
    if not atoms.pbc.all():
        assert stress is None
        return
    np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-8)


def test_forces_and_stress_are_derivatives() -> None:
    pytest.importorskip("dftd3")
    # Images that cross the cutoff are jumps of the energy: a large strain averages over them.
    atoms, d3, step, shear = salt(), D3.of("pbe"), 1e-4, 1e-2
    _, forces, stress = d3.terms(atoms)

    def moved(sign: int) -> float:
        other = atoms.copy()
        other.positions[1, 2] += sign * step
        return d3.terms(other)[0]

    def strained(sign: int) -> float:
        other, strain = atoms.copy(), np.eye(3)
        strain[0, 1] = strain[1, 0] = sign * shear / 2
        other.set_cell(other.cell.array @ strain, scale_atoms=True)
        return d3.terms(other)[0]

    assert forces[1, 2] == pytest.approx(-(moved(1) - moved(-1)) / (2 * step), abs=1e-6)
    slope = (strained(1) - strained(-1)) / (2 * shear)
    assert stress is not None
    assert stress[0, 1] == pytest.approx(slope / atoms.get_volume(), abs=1e-6)


def test_a_single_atom_has_none() -> None:
    pytest.importorskip("dftd3")
    assert D3.of("pbe").terms(Atoms("O"))[0] == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pbee", "'pbee'. Did you mean 'pbe'"),
        ("r2scan-d3(zero)", "no zero damping"),
        ("  ", "no functional was named"),
    ],
)
def test_unknown_functionals(text: str, message: str) -> None:
    pytest.importorskip("dftd3")
    with pytest.raises(PestleError) as error:
        D3.of(text)
    assert message in error.value.line


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dftd3", "dftd3.interface", "dftd3.parameters"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PestleError, match=r"pip install 'pestle\[dispersion\]'"):
        D3.of("pbe")


# -- labels --------------------------------------------------------------------------------------
@pytest.fixture
def corrected(seed0: Foundation, tmp_path: Path) -> tuple[Path, list[Frame]]:
    """A file whose labels are seed0's plus PBE-D3(BJ), and seed0's own as frames."""
    pytest.importorskip("dftd3")
    d3, rng = D3.of("pbe"), np.random.default_rng(0)
    written, bare = [], []
    for k in range(6):
        atoms = salt() if k % 2 else molecule("CH3CH2OH")
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        atoms.calc = seed0.calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
        frame = Frame(atoms.copy(), energy=energy, forces=forces, stress=stress)
        bare.append(frame)
        more = d3.terms(frame.atoms)
        both = None if stress is None else stress + more[2]
        written.append(
            replace(frame, energy=energy + more[0], forces=forces + more[1], stress=both)
        )
    path = tmp_path / "corrected.xyz"
    write_frames(path, written)
    return path, bare


def test_what_is_taken_from_labels_is_what_was_added(
    corrected: tuple[Path, list[Frame]], seed0: Foundation
) -> None:
    path, bare = corrected
    files = [str(path)]
    splits = read_splits(DataSettings(train=files, valid=files, subtract_dispersion="pbe"))
    for found, wanted in zip(splits.train, bare, strict=True):
        assert found.energy == pytest.approx(wanted.energy, abs=1e-9)
        np.testing.assert_allclose(found.forces, wanted.forces, atol=1e-10)
        if wanted.stress is not None:
            np.testing.assert_allclose(found.stress, wanted.stress, atol=1e-10)
    # Subtracting, and adding again where the model is used, is the identity.
    calculator = seed0.calculator(dispersion="pbe")
    for frame in read_frames(files).frames:
        atoms = frame.atoms.copy()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(frame.energy, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), frame.forces, atol=1e-10)
        if frame.stress is not None:
            np.testing.assert_allclose(atoms.get_stress(voigt=False), frame.stress, atol=1e-10)


def test_evaluate_and_check_take_it_from_the_labels(corrected: tuple[Path, list[Frame]]) -> None:
    files = [str(corrected[0])]
    found = evaluate("pestle-seed0", files, subtract_dispersion="pbe", dtype="float64").to_json()[
        "all"
    ]
    assert found["energy_rmse"] < 1e-3 and found["forces_rmse"] < 1e-3
    assert evaluate("pestle-seed0", files, dtype="float64").to_json()["all"]["energy_rmse"] > 10

    def said(**more: Any) -> list[str]:
        report = check(files, foundation="pestle-seed0", **more)
        return [f.message for f in report.findings if f.code == "dispersion"]

    assert said() == [] and said(dispersion="none") == []
    assert said(subtract_dispersion="pbe") == []
    (message,) = said(dispersion="included")
    assert "pestle-seed0 was trained without" in message
    with pytest.raises(PestleError, match=r"data.dispersion"):
        check(files, dispersion="yes")


def test_missing_labels_stay_missing() -> None:
    pytest.importorskip("dftd3")
    (frame,) = without_dispersion([Frame(salt(), energy=-1.0)], D3.of("pbe"))
    assert frame.forces is None and frame.stress is None and frame.energy > -1.0


def test_what_is_said_to_be_absent_is_not_taken_away(tmp_path: Path) -> None:
    settings = DataSettings(train=["a.xyz"], dispersion="none", subtract_dispersion="pbe")
    ase.io.write(tmp_path / "a.xyz", molecule("H2O"), format="extxyz")
    settings.train = [str(tmp_path / "a.xyz")]
    with pytest.raises(PestleError, match="dispersion=none") as refused:
        read_splits(settings)
    assert refused.value.where == "data.subtract_dispersion"


# -- models --------------------------------------------------------------------------------------
def test_what_the_catalogue_knows(seed0: Foundation) -> None:
    assert dispersion_of(seed0) == "none"
    for name, wanted in {
        "medium-mpa-0": "none",
        "mace-matpes-r2scan-0": "none",
        "medium_off": "included",  # ωB97M-D3(BJ)
        "mace_omol": "included",  # ωB97M-V
        "nequix-omat-1": "none",
    }.items():
        entry = catalogue.entry(name)
        assert entry.dispersion == wanted
    by_head = dict(catalogue.entry("mh-1").head_dispersion)
    assert by_head["spice_wB97M"] == by_head["omol"] == "included"
    assert by_head["omat_pbe"] == by_head["matpes_r2scan"] == "none"


def test_labels_and_foundation_that_differ(seed0: Foundation) -> None:
    atoms = molecule("H2O")
    frames = [Frame(atoms, energy=-1.0, source="a.xyz")]
    assert dispersion_findings(frames, seed0, None) == []
    (one,) = dispersion_findings(frames, seed0, None, "included")
    assert one.severity == "warning" and "data.subtract_dispersion" in one.fix
    assert dispersion_findings(frames, seed0, None, "none") == []
    # By the word of the file.
    atoms.info["functional"] = "PBE-D3(BJ)"
    assert len(dispersion_findings(frames, seed0, None)) == 1
    atoms.info["functional"] = "PBE"
    assert dispersion_findings(frames, seed0, None) == []
    other = seed0.copy()
    other.provenance = Provenance("other", dispersion="included")
    (one,) = dispersion_findings(frames, other, None, "none")
    assert "has to unlearn it" in " ".join(one.message.split())
    with pytest.raises(PestleError, match="would count it twice"):
        other.calculator(dispersion="pbe")
    with pytest.raises(PestleError, match=r"correction.* other"):
        other.calculator(dispersion="removed")


def test_a_run_keeps_what_was_taken_away(
    corrected: tuple[Path, list[Frame]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plan, card, page, the loaded model, and the calculator that other programs import."""
    monkeypatch.chdir(tmp_path)
    asked = {
        "foundation": "pestle-seed0",
        "data.train": [str(corrected[0])],
        "data.subtract_dispersion": "PBE",
        "data.valid_fraction": 0.3,
        "train.updates": 2,
        "train.threads": 1,
    }
    manifest = pestle.finetune(asked, "run").to_json()
    plan = "\n".join(plan_lines(Manifest.of(manifest, "manifest")))
    assert re.search(r"holds none; pbe-d3\(bj\) .*labels", plan)
    card = json.loads(Path("run/model/card.json").read_text())
    assert (card["dispersion"], card["dispersion_removed"]) == ("none", "pbe-d3(bj)")
    assert "pbe-d3(bj)" in Path("run/report.html").read_text()
    model = pestle.load("run")
    assert model.provenance.dispersion_removed == "pbe-d3(bj)"
    atoms = salt()
    atoms.calc = model.calculator()
    bare = atoms.get_potential_energy()
    atoms.calc = model.calculator(dispersion="removed")
    d3 = D3.of("pbe").terms(atoms)
    assert atoms.get_potential_energy() - bare == pytest.approx(d3[0], abs=1e-9)

    alone = export("run", to="ase", out="alone")
    assert any("pbe-d3(bj) was taken" in note for note in alone.notes)
    both = export("run", to="ase", dispersion="removed", out="both", dtype="float64")
    assert both.correction == "pbe-d3(bj)"
    script = Path(both.files["ase with D3"])
    assert script.name == "run_d3.py"
    spec = importlib.util.spec_from_file_location("run_d3", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    other = salt()
    other.calc = module.calculator(device="cpu")
    assert other.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(other.get_forces(), atoms.get_forces(), atol=1e-6)
    np.testing.assert_allclose(other.get_stress(), atoms.get_stress(), atol=1e-7)
    with pytest.raises(PestleError, match="exists already"):
        Path("both/run.model").unlink()
        export("run", to="ase", dispersion="removed", out="both")


def test_a_card_says_what_the_user_said(tmp_path: Path) -> None:
    atoms = [molecule("H2O") for _ in range(4)]
    for k, one in enumerate(atoms):
        one.rattle(0.05, seed=k)
        one.info["REF_energy"] = -2080.0
        one.arrays["REF_forces"] = 0.1 * np.ones((3, 3))
    for stated in ("included", "none", "unknown"):
        path = tmp_path / f"{stated}.xyz"
        for k, one in enumerate(atoms):
            one.info["REF_energy"] = -2080.0 + 0.01 * k
        ase.io.write(path, atoms, format="extxyz")
        asked = {
            "foundation": "pestle-seed0",
            "data.train": [str(path)],
            "data.dispersion": stated,
            "train.updates": 1,
        }
        manifest = pestle.finetune(asked, tmp_path / "run", dry_run=True).to_json()
        assert manifest["data"]["dispersion"] == stated
        warned = any("the labels hold dispersion" in text for text in manifest["warnings"])
        assert warned == (stated == "included")
