"""Files that say of themselves that they hold several potential-energy surfaces stop a run, and
`--select` chooses one; names of groups stop nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from foundation_factory import foundation
from pestle.checks.surfaces import surface_findings
from pestle.errors import PestleError
from pestle.jobs.check import check
from pestle.jobs.evaluate import evaluate
from pestle.settings.data import DataSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.splits import read_splits


def water(**info: Any) -> Atoms:
    atoms = molecule("H2O")
    atoms.info.update(info)
    return atoms


def cell(length: float, **info: Any) -> Atoms:
    atoms = bulk("Cu", cubic=True, a=length)
    atoms.info.update(info)
    return atoms


def written(path: Path, structures: list[Atoms]) -> list[Frame]:
    """Frames read from a file, their atoms a little displaced, with labels."""
    rng = np.random.default_rng(0)
    for k, atoms in enumerate(structures):
        atoms.rattle(0.02, rng=rng)
        atoms.info["REF_energy"] = -10.0 - 0.01 * k
        atoms.arrays["REF_forces"] = 0.1 * rng.normal(size=(len(atoms), 3))
    ase.io.write(path, structures, format="extxyz")
    return read_frames([str(path)]).frames


STOP = {
    "head": [water(head="pbe"), water(head="r2scan")],
    "a head beside none": [water(), water(head="r2scan")],
    "charge": [water(total_charge=0), water(total_charge=1)],
    "a charge beside none": [water(), water(charge=1)],
    "spin": [water(total_spin=1), water(total_spin=3)],
    "config_type": [water(config_type="pbe"), water(config_type="mp2")],
    "config_type with more": [water(config_type="gas_PBE"), water(config_type="gas-CCSD(T)")],
    "config_type with dispersion": [water(config_type="pbe"), water(config_type="PBE+D3")],
    "two groups of one level": [water(config_type=t) for t in ("gas_pbe", "ice-pbe", "gas_mp2")],
    "levels that also mean more": [water(config_type=t) for t in ("hf", "mp2", "mp2")],
    "functional": [water(functional="PBE"), water(functional="HSE06")],
    "xc of some": [water(xc="PBE"), water(), water(xc="SCAN")],
    "method": [water(method="PBE"), water(method="r2SCAN")],
    "basis": [water(basis="def2-SVP"), water(basis="def2-TZVP")],
    "kspacing": [cell(3.6, kspacing=0.2), cell(3.6, kspacing=0.5)],
    "kpts": [cell(3.6, kpts=np.array([4, 4, 4])), cell(3.7, kpts=np.array([2, 2, 2]))],
}
PASS = {
    "groups": [water(config_type=t) for t in ("bulk", "surface", "train", "300K", "md_xtb")],
    "one level": [water(config_type=t) for t in ("bulk_pbe", "slab_pbe", "torsion_scan", "scan")],
    "a molecule": [water(config_type="HF"), water(config_type="H2O"), water(config_type="pbe")],
    "one head": [water(head="Default"), water()],
    "one charge": [water(total_charge=0), water(), water(total_charge=0.0)],
    "radicals": [water(total_spin=1), Atoms("OH", [[0, 0, 0], [0, 0, 1]], info={"total_spin": 2})],
    "one functional": [water(functional="PBE"), water(functional="pbe"), water()],
    "grids that follow the cell": [
        cell(3.6, kpts=np.array([8, 8, 8])),
        cell(7.2, kpts=np.array([4, 4, 4])),
    ],
    "method of sampling": [water(method="md"), water(method="relax"), water(method="pbe")],
    "atoms": [
        Atoms("H", info={"config_type": "IsolatedAtom", "total_spin": 2}),
        Atoms("F", info={"config_type": "IsolatedAtom"}),
        water(total_charge=-1, total_spin=1, head="pbe"),
    ],
}


@pytest.mark.parametrize("case", STOP)
def test_several_surfaces_are_an_error(tmp_path: Path, case: str) -> None:
    frames = written(tmp_path / "a.xyz", [atoms.copy() for atoms in STOP[case]])
    (one,) = surface_findings(frames)
    assert one.severity == "error" and "--select" in one.fix
    # The choice that it names leaves one surface.
    choice = one.fix.partition("--select ")[2].partition(" ")[0].strip("'")
    splits = read_splits(
        DataSettings(
            train=[str(tmp_path / "a.xyz")],
            test=[str(tmp_path / "a.xyz")],
            valid=[str(tmp_path / "a.xyz")],
            select=[choice],
        )
    )
    assert 0 < len(splits.train) < len(frames)
    if case == "two groups of one level":
        assert len(splits.train) == 2
    assert len(splits.train) == len(splits.valid) == len(splits.test)
    assert not surface_findings(splits.train)
    # What was asked for aloud is a note.
    assert [f.severity for f in surface_findings(frames, asked=True)] == ["note"]


@pytest.mark.parametrize("case", PASS)
def test_names_of_groups_stop_nothing(tmp_path: Path, case: str) -> None:
    frames = written(tmp_path / "a.xyz", [atoms.copy() for atoms in PASS[case]])
    assert surface_findings(frames) == []


def test_a_model_that_is_told_the_charge_may_mix_charges(tmp_path: Path) -> None:
    frames = written(tmp_path / "a.xyz", [water(total_charge=q) for q in (0, 1, -1)])
    told, plain = foundation("charged"), foundation("residual")
    assert told.embeds == ("charge", "spin") and plain.embeds == ()
    assert not surface_findings(frames, embeds=told.embeds)
    assert surface_findings(frames, embeds=plain.embeds)
    spins = [replace(f, charge=0.0, spin=s) for f, s in zip(frames, (1, 3, 3), strict=True)]
    assert not surface_findings(spins, embeds=told.embeds)


def test_unlabelled_frames_are_of_no_surface(tmp_path: Path) -> None:
    frames = written(tmp_path / "a.xyz", [water(head="pbe"), water(head="r2scan")])
    frames[1].energy = frames[1].forces = None
    assert surface_findings(frames) == []


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (["haed=pbe"], r"'haed'\. Did you mean 'head'\?"),
        (["head=pb"], r"head=pb\. Did you mean 'pbe'\?.*pbe \(2\), r2scan \(1\)"),
        (["head=pbe", "functional=LDA"], "no frame has functional=LDA. Values"),
        (["head"], "'head' is not KEY=VALUE"),
        (["all", "head=pbe"], "all stands alone"),
    ],
)
def test_a_wrong_selection_is_named(tmp_path: Path, select: list[str], message: str) -> None:
    path = tmp_path / "a.xyz"
    written(path, [water(head=h, functional="PBE") for h in ("pbe", "pbe", "r2scan")])
    with pytest.raises(PestleError, match=message):
        check([str(path)], select=select)


def test_a_selection_keeps_isolated_atoms_of_its_head(tmp_path: Path) -> None:
    atoms = [Atoms("H", info={"config_type": "IsolatedAtom", "head": h}) for h in ("pbe", "scan")]
    path = tmp_path / "a.xyz"
    written(
        path, [*atoms, *(water(head=h, total_charge=-1) for h in ("pbe", "pbe", "pbe", "scan"))]
    )
    splits = read_splits(DataSettings(train=[str(path)], select=["head=pbe", "charge=-1.0"]))
    assert [f.head for f in splits.isolated] == ["pbe"]  # neutral, but nothing else gives E0s
    assert len(splits.train) + len(splits.valid) == 3


def test_check_and_evaluate(tmp_path: Path, seed0: Any) -> None:
    path = tmp_path / "a.xyz"
    written(path, [water(head=h) for h in ("pbe", "pbe", "r2scan")])
    assert [f.code for f in check([str(path)]).errors] == ["several-surfaces"]
    assert not check([str(path)], select=["head=pbe"]).errors
    assert not check([str(path)], select=["all"]).errors
    with pytest.raises(PestleError, match="2 values of head, pbe"):
        evaluate("pestle-seed0", [str(path)])
    found = evaluate("pestle-seed0", [str(path)], select=["head=r2scan"]).to_json()
    assert found["all"]["n_frames"] == 1
